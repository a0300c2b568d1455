-- Up Migration
-- What operators watch is counted at every scrape: each of these is as long as what is amiss or open, not as what there ever was.

-- Effects that people have to mend: none on a good day.
create index tasks_repair on tasks (opened_at) where status = 'open' and name = 'repair';
-- How many cases are open, process by process, without their rows.
create index cases_open on cases (process) where status = 'open';
create index cases_failed on cases (closed_at) where status = 'failed';
create index messages_failed on messages (queued_at) where status = 'failed';

-- Down Migration
drop index tasks_repair, cases_open, cases_failed, messages_failed;
