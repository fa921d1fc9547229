-- Who did what, when and from where. An entry is written by the statement or the transaction that makes the change, into
-- `audit_unsealed`; soon after it is sealed, which moves it to `audit_entry`, where each row's hash covers the one before
-- it. Not chained at once: the changes of a tenant would have to be committed one after the other.
--
-- No foreign key: its lock on the tenant's row would be one more for every decision. An entry is only ever written
-- beside a row that has one.
create table audit_unsealed (
    tenant_id  text not null,
    entry_id   bigint generated always as identity,
    at         timestamptz not null default clock_timestamp(),
    -- `key:{key_id}`, `webhook:{webhook_id}`, `link:{reviewer}`, `execution:{execution_id}`, or `host`: its command line.
    actor      text not null constraint audit_actor check (octet_length(actor) between 1 and 320),
    actor_name text constraint audit_actor_name check (octet_length(actor_name) <= 256),
    -- The address that the request came from, if it was one.
    source     text constraint audit_source check (octet_length(source) between 2 and 45),
    action     text not null
        constraint audit_action check (action ~ '^[a-z]+\.[a-z_]+$' and octet_length(action) <= 64),
    -- The id or name of what was changed.
    subject    text not null constraint audit_subject check (octet_length(subject) between 1 and 256),
    -- A JSON object.
    details    text not null constraint audit_details check (octet_length(details) between 2 and 4096),
    primary key (tenant_id, entry_id)
)
-- It is a queue: rows come and go, and few are there at any time.
with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- The log of a tenant. `seq` counts from 1 without a gap; the primary key is the concurrency control.
create table audit_entry (
    like audit_unsealed including constraints,
    seq       bigint not null constraint audit_entry_seq check (seq >= 1),
    -- Never before that of the row before it.
    sealed_at timestamptz not null,
    sha256    bytea not null constraint audit_entry_sha256 check (octet_length(sha256) = 32),
    primary key (tenant_id, seq),
    foreign key (tenant_id) references tenant,
    constraint audit_entry_sealed_once unique (tenant_id, entry_id),
    constraint audit_entry_sealed_after check (sealed_at >= at)
);

create index audit_entry_action on audit_entry (tenant_id, action, seq);
create index audit_entry_sealed_at on audit_entry (tenant_id, sealed_at, seq);

-- A guard against mistakes, not against the owner of the database: what that one does, only the hashes show.
create function audit_refuse() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is only ever appended to: % of % is refused', lower(tg_op), tg_table_name
        using errcode = 'restrict_violation';
end $$;

create function audit_refuse_unless_sealed() returns trigger language plpgsql as $$
begin
    -- In this order only the index on entry_id has them: by equality alone, Postgres would take the one on seq as readily
    -- while it knows nothing of a young table, and read all of the log for each row.
    if old.entry_id is distinct from (
        select entry_id from audit_entry where tenant_id = old.tenant_id and entry_id >= old.entry_id
        order by entry_id limit 1
    ) then
        raise exception 'the audit log is only ever appended to: an entry that is not sealed cannot be deleted'
            using errcode = 'restrict_violation';
    end if;
    return old;
end $$;

create trigger audit_entry_append_only before update or delete on audit_entry
    for each row execute function audit_refuse();
create trigger audit_entry_never_truncated before truncate on audit_entry
    for each statement execute function audit_refuse();
create trigger audit_unsealed_never_changed before update on audit_unsealed
    for each row execute function audit_refuse();
create trigger audit_unsealed_never_truncated before truncate on audit_unsealed
    for each statement execute function audit_refuse();
create trigger audit_unsealed_kept_until_sealed before delete on audit_unsealed
    for each row execute function audit_refuse_unless_sealed();
