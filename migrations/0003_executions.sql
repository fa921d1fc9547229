-- One durable invocation of a function, from input to result.
create table execution (
    tenant_id       text not null references tenant,
    execution_id    text not null,
    agent           text not null,
    version         int not null,
    function        text not null,
    input           text not null,
    -- 32 random bytes: where the guest's random numbers come from, on every replay.
    seed            bytea not null constraint execution_seed check (octet_length(seed) = 32),
    -- The time that the guest's clocks show until the first answer, in milliseconds since 1970.
    started_ms      bigint not null,
    status          text not null
        constraint execution_status
        check (status in ('pending', 'running', 'waiting', 'succeeded', 'failed', 'cancelled')),

    -- When a worker should look at it: at once if it is pending; at the earliest time that it waits for, or never, if it
    -- is waiting.
    wake_at         timestamptz,
    -- The fence. A new random token with every claim; whoever writes must still hold it.
    claim_token     uuid,
    lease_until     timestamptz,
    worker          text,
    attempts        int not null default 0,
    -- Attempts in a row that ended without progress, by a failure or a crash of the host.
    failures        int not null default 0,
    -- How many journal entries there are: the `seq` of the next.
    next_seq        int not null default 0,
    -- How often somebody brought an answer. A suspend that has not seen all of them looks again.
    answers         int not null default 0,
    log_bytes       bigint not null default 0,

    result          text,
    error           text,

    idempotency_key text,
    request_sha256  bytea,
    parent_id       text,
    parent_op       bigint,
    depth           int not null default 0,
    created_by      text not null,
    created_at      timestamptz not null default now(),
    finished_at     timestamptz,

    primary key (tenant_id, execution_id),
    foreign key (tenant_id, agent, version) references agent_version,
    foreign key (tenant_id, parent_id) references execution,

    constraint execution_finished_at
        check ((finished_at is not null) = (status in ('succeeded', 'failed', 'cancelled'))),
    constraint execution_result check ((result is not null) = (status = 'succeeded')),
    constraint execution_error check ((error is not null) = (status = 'failed')),
    constraint execution_claim
        check (status <> 'running' or (claim_token is not null and lease_until is not null)),
    constraint execution_wake
        check (case when status = 'pending' then wake_at is not null
                    when status = 'waiting' then true
                    else wake_at is null end),
    constraint execution_child check ((parent_id is null) = (parent_op is null)),
    constraint execution_idempotency check ((idempotency_key is null) = (request_sha256 is null))
)
-- Room for the updates of a claim and of each append beside the row, and a vacuum before they pile up.
with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- The queue: what a worker may claim now, in the order in which it became due. Not led by tenant_id, because it serves
-- all tenants in turn.
create index execution_due on execution (wake_at) where wake_at is not null;
-- Those that a worker drives; few. Leases are not in the index, so that renewing one touches no index.
create index execution_running on execution (tenant_id, execution_id) where status = 'running';
create unique index execution_idempotency_key on execution (tenant_id, idempotency_key)
    where idempotency_key is not null;
create unique index execution_called_once on execution (tenant_id, parent_id, parent_op)
    where parent_id is not null;
create index execution_newest on execution (tenant_id, created_at desc, execution_id desc);

-- What an execution asked and was told: one answered ask a row, in the order in which the answers were delivered. Only
-- ever appended to; the primary key is the concurrency control.
create table journal_entry (
    tenant_id    text not null,
    execution_id text not null,
    seq          int not null constraint journal_entry_seq check (seq >= 0),
    op           bigint not null constraint journal_entry_op check (op >= 0),
    ask          text not null,
    answer       text not null,
    at_ms        bigint not null,
    primary key (tenant_id, execution_id, seq),
    foreign key (tenant_id, execution_id) references execution
);

create unique index journal_entry_answers_once on journal_entry (tenant_id, execution_id, op);

-- What a guest printed. `slice` counts the deliveries before it, so a slice that runs again after a crash prints the
-- same rows again, and nothing is doubled.
create table log_line (
    tenant_id    text not null,
    execution_id text not null,
    slice        int not null,
    line         int not null,
    stream       text not null constraint log_line_stream check (stream in ('stdout', 'stderr')),
    text         text not null,
    primary key (tenant_id, execution_id, slice, line),
    foreign key (tenant_id, execution_id) references execution
);
