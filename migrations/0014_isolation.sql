-- The second line between tenants: Postgres itself shows a connection the rows of one tenant. The first is that every
-- statement names its tenant.
--
-- Hosts ask under two roles that own nothing, so that the policies below hold for them. Roles are of the whole server: who
-- may not create roles has somebody make them before, and be made a member of both (docs/security.md).
do $$
declare
    role text;
begin
    foreach role in array array['countersign_tenant', 'countersign_host'] loop
        if not exists (select from pg_roles where rolname = role) then
            begin
                execute format('create role %I nologin', role);
            exception
                -- Another database of this server is being migrated at the same time.
                when duplicate_object or unique_violation then null;
            end;
        end if;
        if not pg_has_role(current_user, role, 'member') then
            execute format('grant %I to current_user', role);
        end if;
    end loop;
end $$;

-- For every table with rows of tenants: a tenant's connection sees and writes its own, the host's those of all.
do $$
declare
    name text;
begin
    for name in
        select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    loop
        execute format('alter table %I enable row level security', name);
        execute format('create policy of_one_tenant on %I to countersign_tenant
                        using (tenant_id = current_setting(''countersign.tenant''))
                        with check (tenant_id = current_setting(''countersign.tenant''))', name);
        execute format('create policy of_all_tenants on %I to countersign_host using (true) with check (true)', name);
    end loop;
end $$;

-- What a tenant's connection may do with its rows. Journals and sealed entries are only appended to.
grant select, insert, update, delete on
    api_key, webhook_secret, agent, agent_version, limit_set, execution, log_line, pause, vote, webhook_delivery,
    endpoint, endpoint_secret, reviewer, review_group, review_group_member, notification, delivery, delivery_attempt,
    audit_unsealed, compile_budget
to countersign_tenant;
grant select, insert on usage_delta to countersign_tenant;
grant select on component_grant, tenant_usage to countersign_tenant;
grant select, insert on journal_entry, audit_entry to countersign_tenant;
grant select, update on tenant to countersign_tenant;

-- What a host does for all tenants at once: it claims, keeps times, tells, seals, and looks whether it can read secrets.
-- It reads no journal, no component, no log, no input of an agent that it has not claimed.
grant select, insert, update on tenant to countersign_host;
grant select on
    agent_version, limit_set, endpoint, endpoint_secret, webhook_secret, reviewer, review_group, review_group_member, vote
to countersign_host;
grant select, update on execution, pause to countersign_host;
grant select, insert, update, delete on notification, delivery, delivery_attempt to countersign_host;
grant select, insert on audit_unsealed to countersign_host;
grant select, insert, update, delete on usage_delta to countersign_host;
grant select, insert, update on tenant_usage to countersign_host;
-- When keys were used is noted for those of many tenants at once.
grant select (tenant_id, key_id, last_used_at), update (last_used_at) on api_key to countersign_host;

-- A tenant's connection reaches components by these alone.
revoke execute on function keep_component, granted_component from public;
grant execute on function keep_component, granted_component to countersign_tenant;
