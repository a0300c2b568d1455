-- Up Migration
-- Which master key sealed a customer's key. Those from before master keys had ids were sealed under the only one there was, which is "1"; so are those that a
-- process of the version before still makes while it is replaced.
alter table customer_keys add column master_key text not null default '1';
-- What is still to be sealed anew, and whether a key may be removed; without the customers' ids it has a few pages per master key.
create index customer_keys_of_master on customer_keys (master_key);

-- Down Migration
drop index customer_keys_of_master;
alter table customer_keys drop column master_key;
