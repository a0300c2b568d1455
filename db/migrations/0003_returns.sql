-- Up Migration
-- Which states of a thing outside enter the case that waits for it (null: every event): a parcel's other scans stay outside the workflow.
alter table correlations add column states text[];
alter table inbox add column state text;
-- A case looks for the owner of what came under this key; another case that names the key may still have it.
alter table correlations add column until_claimed boolean not null default false;

-- Of a unit that was used: whether its money went back, or the goods were replaced. Original shipping goes back only when the money of every unit did.
alter table allowance_units add column refunded boolean not null default true;

-- What a customer has asked for, case by case: frequency limits count here, under a lock of the customer.
create table tallies (
  tally text primary key,                 -- the effect's key
  customer text,                          -- null: taken back before it came
  kind text check (kind in ('return', 'refundOnly')),
  amount_minor bigint,
  currency text,
  status text not null check (status in ('counted', 'released')),
  at timestamptz not null default now(),
  check (status = 'released' or (customer is not null and kind is not null))
);
create index tallies_of on tallies (customer, kind, at) where status = 'counted';

-- Why goods came back and what it cost, unit by unit: 退换货原因与损失.
create table return_causes (
  case_id text not null references cases (id),
  order_id text not null,
  line int not null,
  unit int not null,
  shop text not null,
  product text not null,
  category text not null,
  reason text not null,                   -- as the review established it
  cause text not null,                    -- as inspection found it
  disposition text not null,
  currency text not null,
  loss_minor bigint not null,
  at timestamptz not null default now(),
  primary key (case_id, line, unit)
);
create index return_causes_of_shop on return_causes (shop, at);

-- Down Migration
drop table return_causes, tallies;
alter table allowance_units drop column refunded;
alter table inbox drop column state;
alter table correlations drop column states, drop column until_claimed;
