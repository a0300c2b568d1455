-- Up Migration
-- What was asked and decided. Where a process stands is Temporal's; stage and status here are a projection written by the case's own records.

create table policies (
  version text primary key,               -- hash of the document
  source text not null,
  document jsonb not null,
  published_at timestamptz not null default now()
);

create table people (
  id text primary key,
  name text not null,
  roles text[] not null,
  shops text[] not null,                  -- '*' = every shop
  active boolean not null default true,
  absent_until timestamptz,
  changed_at timestamptz not null default now()
);

create table cases (
  id text primary key,                    -- workflow id
  process text not null,
  shop text not null,
  customer text,                          -- pseudonym of the order platform, never a name
  order_id text,
  input jsonb not null,
  input_hash text not null,
  manifest jsonb not null,
  starter text not null,
  status text not null default 'open' check (status in ('open', 'completed', 'withdrawn', 'failed', 'broken')),
  stage text,
  stage_order int not null default 0,     -- order of the record that set the stage: a later one is not overwritten by one that was slower
  no_return boolean not null default false,
  outcome jsonb,
  trouble text,                           -- why it is broken or failed, for operators
  parent text references cases (id),
  run_at timestamptz not null default now(), -- not before; a case of the future waits for the sweep
  opened_at timestamptz not null default now(),
  started_at timestamptz,                 -- Temporal has confirmed the workflow
  run_id text,
  changed_at timestamptz not null default now(),
  closed_at timestamptz
);
-- The worklists of cases, newest first, with a keyset on (opened_at, id).
create index cases_newest on cases (shop, opened_at desc, id desc);
create index cases_newest_of_all on cases (opened_at desc, id desc); -- people who serve every shop
create index cases_by_order on cases (order_id, opened_at desc) where order_id is not null;
create index cases_by_customer on cases (customer, opened_at desc) where customer is not null;
-- The sweep for starts that a crash left: empty but for the last seconds, whatever is parked.
create index cases_unstarted on cases (run_at) where started_at is null and status = 'open';
-- What cannot go on, for the sweep that finds which of them does: few, or operators have a bad day.
create index cases_broken on cases (id) where status = 'broken';
create index cases_by_parent on cases (parent) where parent is not null;

create table tasks (
  id text primary key,                    -- <case>:<path>
  case_id text not null references cases (id),
  path text not null,
  name text not null,
  process text not null,
  shop text not null,
  role text not null,                     -- who decides now; climbs on escalation
  declared_role text not null,
  amount_minor bigint,
  currency text,
  context jsonb not null,
  form_version int not null,
  not_by text[] not null default '{}',    -- names of tasks whose deciders may not decide this one
  clocks text[] not null default '{}',
  status text not null default 'open' check (status in ('open', 'done', 'expired', 'withdrawn', 'lost')),
  assignee text,
  held_until timestamptz,                 -- put aside by a person: the worklist does not offer it before
  opened_by_run text not null,            -- workflow run that opened it: only another run (a reset) may reopen what was closed undecided
  opened_at timestamptz not null default now(),
  expires_at timestamptz,
  decided_by text,
  decided_role text,
  decided_at timestamptz,
  form jsonb,
  closed_at timestamptz,
  unique (case_id, path)
);
-- Worklist of a role in a shop, oldest first, keyset on (opened_at, id).
create index tasks_open on tasks (shop, role, opened_at, id) where status = 'open';
create index tasks_open_of_all on tasks (role, opened_at, id) where status = 'open'; -- people who serve every shop
create index tasks_mine on tasks (assignee, opened_at, id) where status = 'open' and assignee is not null;

-- Everyone who had a hand in a task: four eyes look here, so neither delegation nor a change of role gets round them.
create table task_hands (
  task_id text not null references tasks (id),
  case_id text not null,
  task_name text not null,
  person text not null,
  how text not null check (how in ('asked', 'claimed', 'delegated', 'decided')),
  at timestamptz not null default now(),
  primary key (task_id, person, how)
);
create index task_hands_of_case on task_hands (case_id, task_name);

create table inbox (
  id bigint generated always as identity primary key,
  source text not null,
  event_id text not null,
  body_hash text not null,
  kind text not null check (kind in ('decision', 'event', 'withdraw', 'outcome', 'state')),
  name text not null,
  correlation_key text,
  case_id text references cases (id),
  body jsonb not null,
  at timestamptz not null,                -- when it happened, as its source says
  received_at timestamptz not null default now(),
  delivered_at timestamptz,               -- last signal that carried it
  seen_at timestamptz,                    -- the case's own record says it was taken in
  became text,                            -- note, start:<case>, refused: for what never enters a workflow
  unique (source, event_id)
);
-- What still has to be delivered, in order, per case: empty when all is quiet.
create index inbox_undelivered on inbox (case_id, id) where seen_at is null and became is null and case_id is not null;
-- Early events that wait for their correlation.
create index inbox_early on inbox (source, correlation_key, id) where case_id is null and became is null;
create index inbox_of_case on inbox (case_id, id) where case_id is not null;

create table correlations (
  source text not null,                   -- <system>.<event>
  key text not null,
  case_id text not null references cases (id),
  event text not null,                    -- the process's name for it
  at timestamptz not null default now(),
  primary key (source, key)
);

-- Newest state of something outside (a parcel, a refund), by event time and rank, whatever the order of arrival.
create table outside_states (
  source text not null,
  key text not null,
  state text not null,
  rank int not null,
  at timestamptz not null,
  primary key (source, key)
);

create table effects (
  case_id text not null references cases (id),
  path text not null,
  system text not null,
  operation text not null,
  args_hash text not null,
  args jsonb not null,
  undoes text,
  status text not null check (status in ('sending', 'done')),
  ok boolean,
  answer jsonb,                           -- facts of the result, or the declared error
  entered_by text,                        -- the person who entered it by repair
  sent_at timestamptz not null default now(),
  done_at timestamptz,
  primary key (case_id, path)
);
create index effects_sending on effects (sent_at) where status = 'sending';

create table decision_log (
  case_id text not null references cases (id),
  step text not null,
  process text not null,
  rule text not null,
  policy text not null,
  facts jsonb not null,
  output jsonb not null,
  reasons text[] not null,
  as_of timestamptz not null,
  at timestamptz not null default now(),
  primary key (case_id, step)
);
create index decision_log_by_rule on decision_log (process, rule, at);

create table clocks (
  case_id text not null references cases (id),
  clock text not null,                    -- <scope>/<name>
  name text not null,
  policy_clock text not null,             -- T10
  status text not null,
  deadline timestamptz,
  provisional boolean not null default false,
  next_point timestamptz,
  state jsonb not null,                   -- the reducer's state, with its explanation
  notices jsonb not null default '[]',    -- what was warned or escalated, once each
  primary key (case_id, clock)
);
create index clocks_provisional on clocks (deadline) where provisional and status in ('running', 'paused');

create table clock_log (
  case_id text not null,
  clock text not null,
  seq int not null,
  command jsonb not null,
  at timestamptz not null,
  primary key (case_id, clock, seq),
  foreign key (case_id, clock) references clocks (case_id, clock)
);

create table messages (
  id text primary key,                    -- <case>:<path>
  case_id text not null references cases (id),
  shop text not null,
  customer text,
  message text not null,
  recipient text not null,                -- customer, a role
  data jsonb not null,
  status text not null default 'queued' check (status in ('queued', 'sent', 'held', 'failed')),
  trouble text,
  kind text,                              -- of a sent one: marketing counts against the customer's cap
  queued_at timestamptz not null default now(),
  sent_at timestamptz
);
create index messages_of_case on messages (case_id, queued_at);
create index messages_capped on messages (customer, sent_at) where kind = 'marketing';

-- What a case did, in order, for people: written by the transaction that did it.
create table timeline (
  id bigint generated always as identity primary key,
  case_id text not null references cases (id),
  key text not null,                      -- once per fact, whatever is re-executed
  kind text not null,
  data jsonb not null,
  at timestamptz not null default now(),
  unique (case_id, key)
);
create index timeline_of_case on timeline (case_id, id);

-- Limits that several cases draw on: the units of an order line, numbered 1 to `bought`. A number belongs to one case at most, which the primary key holds.
create table allowance_lines (
  order_id text not null,
  line int not null,
  bought int not null check (bought > 0),
  primary key (order_id, line)            -- locked, in the order of lines, by whoever takes or gives back units of it
);
create table allowance_holds (
  hold text primary key,                  -- the effect's key
  order_id text not null,
  status text not null check (status in ('held', 'used', 'released'))
);
create table allowance_units (
  order_id text not null,
  line int not null,
  unit int not null,
  hold text references allowance_holds (hold), -- null: came back outside our cases, as the shop says
  used boolean not null,
  primary key (order_id, line, unit),
  foreign key (order_id, line) references allowance_lines (order_id, line)
);
create index allowance_units_of_hold on allowance_units (hold) where hold is not null;

-- Personal data and free text: sealed under a key of the customer's own, which is sealed under the master key. To erase a customer is to drop the key.
create table customer_keys (
  customer text primary key,
  sealed_key bytea not null,
  made_at timestamptz not null default now()
);
create table sealed_texts (
  case_id text not null references cases (id),
  owner text not null,                    -- customer whose key seals it, or case:<id>
  path text not null,                     -- task:<path>, note:<id>, input
  sealed bytea not null,
  by text,
  at timestamptz not null default now(),
  primary key (case_id, path)
);

-- Down Migration
drop table sealed_texts, customer_keys, allowance_units, allowance_holds, allowance_lines, timeline, messages, clock_log, clocks, decision_log, effects, outside_states, correlations, inbox, task_hands, tasks, cases, people, policies;
