-- Up Migration
-- Runs of a case that resets began, in the order in which they first wrote: what a run writes late, after another has taken over, is told from what the newest one writes.
alter table cases add column reset_runs text[] not null default '{}';

-- A run that was reset into another branch gives its own commands the numbers of those that the run before gave there. Each run's are kept; the newest one counts.
alter table clock_log add column run int not null default 0; -- 0: the run that the case began with; then the place in reset_runs
alter table clock_log drop constraint clock_log_pkey, add primary key (case_id, clock, run, seq);

-- The same fact about one thing, reported under another id.
create index inbox_of_thing on inbox (source, correlation_key) where correlation_key is not null;

-- Notices to a department that wait at the same moment are told as one: the message that the others go with.
alter table messages add column bundle text references messages (id);
create index messages_waiting on messages (shop, recipient, message) where status = 'queued' and bundle is null;
create index messages_bundled on messages (bundle) where bundle is not null;

-- Down Migration
alter table messages drop column bundle;
drop index inbox_of_thing;
delete from clock_log where run > 0;
alter table clock_log drop constraint clock_log_pkey, add primary key (case_id, clock, seq);
alter table clock_log drop column run;
alter table cases drop column reset_runs;
