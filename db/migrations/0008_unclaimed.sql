-- Up Migration
-- What no case has claimed is deleted after a time: the oldest first.
create index inbox_unclaimed on inbox (received_at) where case_id is null and became is null;

-- Down Migration
drop index inbox_unclaimed;
