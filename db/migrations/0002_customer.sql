-- Up Migration
-- The customer's side: links that open one case to its customer, and what they upload.

create table customer_links (
  id text primary key,                    -- random; the token is made from this row and a secret, and is kept nowhere
  case_id text not null references cases (id),
  made_by text not null,                  -- a person, or `message`: made to be sent with one
  language text not null check (language in ('zh', 'en')),
  made_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_by text,
  used_at timestamptz                     -- last time, to the minute
);
create index customer_links_of_case on customer_links (case_id, made_at);

-- The link a message carries: a message that is sent again after a crash carries the same one, or its key would name two texts.
alter table messages add column link text references customer_links (id);

create table evidence (
  id text primary key,                    -- random
  case_id text not null references cases (id),
  owner text not null,                    -- customer whose key seals the file's own key, or case:<id>
  sealed_key bytea not null,
  store_key text not null,                -- where the sealed bytes are, in the store
  kind text check (kind in ('photo', 'video')),
  type text,                              -- by what the bytes are
  bytes bigint,                           -- before they were sealed
  sha256 text,                            -- of the same
  by text not null,
  at timestamptz not null default clock_timestamp(), -- the wall clock: never older than the key
  stored_at timestamptz,                  -- null while it is uploaded: a place is taken before its bytes come
  check (stored_at is null or (kind is not null and type is not null and bytes > 0 and sha256 is not null))
);
-- The same bytes again are the same evidence: an upload whose answer was lost is simply sent again.
create unique index evidence_once on evidence (case_id, sha256) where stored_at is not null;
create index evidence_of_case on evidence (case_id, at);
-- Uploads that a crash left: empty but for what is on its way.
create index evidence_unfinished on evidence (at) where stored_at is null;

-- Down Migration
drop table evidence;
alter table messages drop column link;
drop table customer_links;
