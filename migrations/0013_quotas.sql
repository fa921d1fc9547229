-- What each tenant uses of what its quotas bound: executions that have not ended, pauses that are open, bytes that are
-- kept.
--
-- Whatever changes one of these writes a row into `usage_delta`, by a trigger, in its own transaction: no two transitions
-- wait for each other, as they would to count on one row of their tenant. Hosts add them up, into `tenant_usage`, once a
-- second. So both together are exact, and `tenant_usage` alone is a second old.
create table usage_delta (
    tenant_id   text not null,
    delta_id    bigint generated always as identity,
    unfinished  int not null default 0,
    open_pauses int not null default 0,
    bytes       bigint not null default 0,
    primary key (tenant_id, delta_id)
)
-- It is a queue: rows come and go, and few are there at any time.
with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

create table tenant_usage (
    tenant_id    text not null references tenant primary key,
    unfinished   bigint not null,
    open_pauses  bigint not null,
    stored_bytes bigint not null
)
with (fillfactor = 50, autovacuum_vacuum_cost_delay = 0);

alter table execution
    -- The entries of its journal that were written since there is this column.
    add column journal_bytes bigint not null default 0,
    -- What its tenant's usage has of its journal, log, result and error.
    add column counted_bytes bigint not null default 0,
    -- The execution that a client started and that this one was called from, directly or not. None: itself.
    add column root_id text,
    -- How many executions were called below it. Only a root counts.
    add column children int not null default 0;

-- What there is already. The log of an execution that has not ended is counted when a worker next lets go of it.
insert into tenant_usage (tenant_id, unfinished, open_pauses, stored_bytes)
select t.tenant_id,
       (select count(*) from execution e where e.tenant_id = t.tenant_id and e.finished_at is null),
       (select count(*) from pause p where p.tenant_id = t.tenant_id and p.status = 'open'),
       (select coalesce(sum(g.size_bytes), 0) from component_grant g where g.tenant_id = t.tenant_id)
       + (select coalesce(sum(octet_length(e.input)
                              + case when e.finished_at is null then 0
                                     else e.log_bytes + octet_length(coalesce(e.result, e.error, '')) end), 0)
          from execution e where e.tenant_id = t.tenant_id)
       + (select coalesce(sum(octet_length(j.ask) + octet_length(j.answer)), 0)
          from journal_entry j where j.tenant_id = t.tenant_id)
from tenant t;

create function count_component() returns trigger language plpgsql as $$
begin
    insert into usage_delta (tenant_id, bytes) values (new.tenant_id, new.size_bytes);
    return null;
end $$;

create function count_start() returns trigger language plpgsql as $$
begin
    insert into usage_delta (tenant_id, unfinished, bytes) values (new.tenant_id, 1, octet_length(new.input));
    return null;
end $$;

-- An execution that no worker drives any more, or that has ended: what it has written since the last time.
create function count_written() returns trigger language plpgsql as $$
declare
    written bigint := new.journal_bytes + new.log_bytes + octet_length(coalesce(new.result, new.error, ''));
    ended   int := (old.finished_at is null and new.finished_at is not null)::int;
begin
    if written <> new.counted_bytes or ended > 0 then
        insert into usage_delta (tenant_id, unfinished, bytes)
        values (new.tenant_id, -ended, written - new.counted_bytes);
        new.counted_bytes := written;
    end if;
    return new;
end $$;

create function count_pause() returns trigger language plpgsql as $$
begin
    insert into usage_delta (tenant_id, open_pauses)
    values (new.tenant_id, case when new.status = 'open' then 1 else -1 end);
    return null;
end $$;

create trigger component_is_counted after insert on component_grant for each row execute function count_component();
create trigger execution_is_counted after insert on execution for each row execute function count_start();
create trigger execution_is_counted_again before update of status on execution for each row
    when ((old.status = 'running' and new.status <> 'running') or (old.finished_at is null and new.finished_at is not null))
    execute function count_written();
create trigger pause_is_counted after insert on pause for each row
    when (new.status = 'open')
    execute function count_pause();
create trigger pause_is_counted_again after update of status on pause for each row
    when ((old.status = 'open') <> (new.status = 'open'))
    execute function count_pause();
