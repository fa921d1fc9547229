-- An uploaded component, by its SHA-256. Never changed, and kept for as long as any version refers to it.
create table component (
    tenant_id  text not null references tenant,
    digest     bytea not null constraint component_digest check (octet_length(digest) = 32),
    wasm       bytea not null,
    manifest   text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, digest)
);

-- Wasm does not compress enough to pay for trying on each upload.
alter table component alter column wasm set storage external;

create table agent (
    tenant_id      text not null references tenant,
    agent          text not null constraint agent_name check (agent ~ '^[a-z][a-z0-9_-]{0,63}$'),
    active_version int not null constraint agent_active_version check (active_version >= 1),
    created_at     timestamptz not null default now(),
    primary key (tenant_id, agent)
);

-- One deployed component of an agent. Versions are counted from 1 and never change: an execution stays on the one that
-- it started on.
create table agent_version (
    tenant_id  text not null,
    agent      text not null,
    version    int not null constraint agent_version_counted check (version >= 1),
    digest     bytea not null,
    created_at timestamptz not null default now(),
    created_by text not null,
    primary key (tenant_id, agent, version),
    foreign key (tenant_id, agent) references agent,
    foreign key (tenant_id, digest) references component
);

alter table agent add constraint agent_active_exists
    foreign key (tenant_id, agent, active_version) references agent_version deferrable initially deferred;
