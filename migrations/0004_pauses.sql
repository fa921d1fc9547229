-- An ask for a human decision. Its public id is `{execution_id}:{approval_request_id}`, so two executions never share
-- one.
create table pause (
    tenant_id            text not null,
    execution_id         text not null,
    approval_request_id  text not null
        constraint pause_name check (approval_request_id ~ '^[A-Za-z0-9._~-]{1,128}$'),
    -- The ask that opened it; none while it is only an early decision.
    op                   bigint,
    status               text not null
        constraint pause_status check (status in ('early', 'open', 'decided', 'expired', 'cancelled')),
    approval_request_url text,
    title                text,
    payload              text,
    response_schema      text,
    choices              text[] not null default '{}',
    opened_at            timestamptz,
    expires_at           timestamptz,

    decision             text,
    feedback             text,
    response             text,
    reviewer             text,
    -- Through which door: `key:{key_id}` or `webhook:{webhook_id}`.
    via                  text,
    -- When it was decided, or expired.
    decided_at           timestamptz,

    primary key (tenant_id, execution_id, approval_request_id),
    foreign key (tenant_id, execution_id) references execution,

    constraint pause_opened check ((op is null) = (status = 'early') and (op is null) = (opened_at is null)),
    constraint pause_decided
        check ((decision is not null) = (status in ('early', 'decided')) and (decision is null) = (via is null)),
    constraint pause_decided_at
        check ((decided_at is not null) = (status in ('early', 'decided', 'expired')))
);

create index pause_open on pause (tenant_id, opened_at, execution_id, approval_request_id) where status = 'open';
create index pause_by_name on pause (tenant_id, approval_request_id) where status = 'open';

-- Signed deliveries that were taken, so that one which is sent again gets the same answer.
create table webhook_delivery (
    tenant_id    text not null references tenant,
    webhook_id   text not null,
    body_sha256  bytea not null,
    execution_id text not null,
    approval_request_id text not null,
    received_at  timestamptz not null default now(),
    primary key (tenant_id, webhook_id),
    foreign key (tenant_id, execution_id, approval_request_id) references pause
);
