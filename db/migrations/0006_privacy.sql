-- Up Migration
-- Who looked at a customer's data unmasked, and what is left of a customer once they are erased.

-- A customer's texts go with their key: without it nobody opens them. The reference also makes an erasure wait for whoever is sealing something under the key,
-- and refuses what comes after it under a key that is gone.
delete from sealed_texts t where not exists (select 1 from customer_keys k where k.customer = t.owner);
alter table sealed_texts add foreign key (owner) references customer_keys (customer) on delete cascade;
create index sealed_texts_of_owner on sealed_texts (owner);

-- A file keeps its row, so that its bytes are found and deleted: without an owner it is erased, without a place in the store its bytes are gone too.
alter table evidence alter column owner drop not null, alter column store_key drop not null;
update evidence e set owner = null where not exists (select 1 from customer_keys k where k.customer = e.owner);
alter table evidence add foreign key (owner) references customer_keys (customer) on delete set null;
create index evidence_of_owner on evidence (owner);
-- What still has to be deleted from the store: empty but for the minute after an erasure.
create index evidence_erased on evidence (id) where owner is null and store_key is not null;
-- The hash of a photo says whether somebody has the same one: it goes with the bytes.
alter table evidence drop constraint evidence_check,
  add constraint evidence_stored check (stored_at is null or (kind is not null and type is not null and bytes > 0 and (sha256 is not null or owner is null)));

alter table cases add column erased_at timestamptz; -- the customer's data of this case was erased

create table looks (
  id bigint generated always as identity primary key, -- also the order of lists
  person text not null,
  roles text[] not null,                  -- as they were
  case_id text not null references cases (id),
  shop text not null,
  customer text,                          -- the platform's pseudonym
  what text not null check (what in ('words', 'evidence', 'export')),
  evidence text,                          -- which file
  why text not null,                      -- a code: words could name a person
  at timestamptz not null default now(),
  check ((what = 'evidence') = (evidence is not null))
);
create index looks_newest on looks (shop, id);
create index looks_of_person on looks (person, id);
create index looks_of_customer on looks (customer, id) where customer is not null;
create index looks_of_case on looks (case_id, id);

create table erasures (
  id bigint generated always as identity primary key,
  customer text not null,                 -- the platform's pseudonym: what else would say that it was done
  at timestamptz not null default now(),
  by text not null,
  why text not null,                      -- a code
  cases int not null,
  texts int not null,
  files int not null,
  links int not null
);
create index erasures_of on erasures (customer, id);

-- What was looked at and erased stays as it was written, also for whoever has written it.
create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% is only added to', tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger looks_stay before update or delete or truncate on looks for each statement execute function refuse_change();
create trigger erasures_stay before update or delete or truncate on erasures for each statement execute function refuse_change();

-- Down Migration
drop table erasures, looks;
drop function refuse_change();
alter table cases drop column erased_at;
drop index evidence_of_owner, evidence_erased, sealed_texts_of_owner;
alter table sealed_texts drop constraint sealed_texts_owner_fkey;
delete from evidence where owner is null or store_key is null;
alter table evidence drop constraint evidence_owner_fkey, drop constraint evidence_stored, alter column owner set not null, alter column store_key set not null,
  add constraint evidence_check check (stored_at is null or (kind is not null and type is not null and bytes > 0 and sha256 is not null));
