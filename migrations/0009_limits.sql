-- What tenants may use, and tenants that may use nothing for a while. The names, defaults and bounds of limits are in the
-- host (`limits`); here is only what somebody has set.

alter table tenant
    -- Nothing of it is served, and nothing of it runs, until this is null again.
    add column suspended_at timestamptz,
    -- What an operator of the hosts has set: limits of its executions, and quotas.
    add column limits jsonb not null default '{}'
        constraint tenant_limits check (jsonb_typeof(limits) = 'object');

-- What the tenant has lowered for one of its agents.
alter table agent
    add column limits jsonb not null default '{}'
        constraint agent_limits check (jsonb_typeof(limits) = 'object');

-- The limits that executions started with: each set once, whole, so that neither a later setting nor a later version of
-- the host changes what a replay may use.
create table limit_set (
    tenant_id    text not null references tenant,
    limit_set_id int not null generated always as identity,
    limits       jsonb not null,
    primary key (tenant_id, limit_set_id),
    unique (tenant_id, limits)
);

-- None: it started before limits were recorded, and has the defaults.
alter table execution
    add column limit_set_id int,
    add foreign key (tenant_id, limit_set_id) references limit_set;
