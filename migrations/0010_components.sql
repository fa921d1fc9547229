-- Components are kept once, by their digest, whoever uploads them; who has uploaded one has a grant of it. Nothing but
-- the two functions below reads or writes `component`, and both act for the tenant of the connection, the setting
-- `countersign.tenant`: that somebody else has uploaded the same bytes is not to be found out.

alter table agent_version drop constraint agent_version_tenant_id_digest_fkey;
alter table component rename to component_of_tenant;
alter table component_of_tenant rename constraint component_pkey to component_of_tenant_pkey;

-- Of no tenant. Never changed, and kept for as long as anybody has a grant of it.
create table component (
    digest     bytea not null constraint component_digest check (octet_length(digest) = 32),
    wasm       bytea not null,
    created_at timestamptz not null default now(),
    primary key (digest)
);

-- Wasm does not compress enough to pay for trying on each upload.
alter table component alter column wasm set storage external;

-- That a tenant has uploaded a component, and what that said of itself. All that a tenant is shown is from here.
create table component_grant (
    tenant_id  text not null references tenant,
    digest     bytea not null references component,
    manifest   text not null,
    size_bytes int not null constraint component_grant_size check (size_bytes > 0),
    granted_at timestamptz not null default now(),
    primary key (tenant_id, digest)
);

insert into component (digest, wasm, created_at)
select distinct on (digest) digest, wasm, created_at from component_of_tenant order by digest, created_at;

insert into component_grant (tenant_id, digest, manifest, size_bytes, granted_at)
select tenant_id, digest, manifest, octet_length(wasm), created_at from component_of_tenant;

alter table agent_version
    add constraint agent_version_component foreign key (tenant_id, digest) references component_grant;

drop table component_of_tenant;

-- Keeps a component and grants it to the connection's tenant. Whether it was there before makes no difference: the same bytes are
-- written. That they are of this digest is looked at here, so that whoever may call this cannot exchange anybody's.
create function keep_component(of_digest bytea, bytes bytea, of_manifest text) returns void
    language plpgsql security definer
as $$
begin
    if sha256(bytes) is distinct from of_digest then
        raise exception 'these bytes are not of this digest' using errcode = 'check_violation';
    end if;
    insert into component as kept (digest, wasm) values (of_digest, bytes)
        on conflict (digest) do update set wasm = excluded.wasm;
    insert into component_grant (tenant_id, digest, manifest, size_bytes)
        values (current_setting('countersign.tenant'), of_digest, of_manifest, octet_length(bytes))
        on conflict (tenant_id, digest) do update set manifest = excluded.manifest;
end
$$;

-- The bytes of a component that the connection's tenant has a grant of.
create function granted_component(of_digest bytea) returns bytea
    language sql stable security definer
as $$
    select c.wasm from component c
    join component_grant g on g.digest = c.digest
    where g.tenant_id = current_setting('countersign.tenant') and g.digest = of_digest
$$;

-- They have their owner's rights, so they look for tables nowhere but where these are.
do $$
begin
    execute format('alter function keep_component(bytea, bytea, text) set search_path = %I, pg_temp', current_schema());
    execute format('alter function granted_component(bytea) set search_path = %I, pg_temp', current_schema());
end
$$;

-- The CPU time that compiling a tenant's uploads has taken: `spent`, as it was at `as_of`, in seconds. It becomes less by
-- its hourly quota in an hour, until it is nothing, so `spent` says how much of that is used up.
create table compile_budget (
    tenant_id text not null references tenant,
    spent     float8 not null constraint compile_budget_spent check (spent >= 0),
    as_of     timestamptz not null,
    primary key (tenant_id)
);
