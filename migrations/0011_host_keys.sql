-- Keys for the whole host, and when keys were used. The keys of the role `host` belong to a tenant that is called so and
-- owns nothing else. It fails where somebody has a tenant of this name with keys of its own: nothing of it could be
-- told from the host's.

insert into tenant (tenant_id) values ('host') on conflict do nothing;

alter table api_key
    -- To the minute or so.
    add column last_used_at timestamptz,
    drop constraint api_key_role,
    add constraint api_key_role check (role in ('operator', 'deployer', 'runner', 'reviewer', 'host')),
    add constraint api_key_of_host check ((role = 'host') = (tenant_id = 'host'));

alter table tenant
    add constraint tenant_host check (tenant_id <> 'host' or (suspended_at is null and limits = '{}'));
alter table agent
    add constraint agent_of_host check (tenant_id <> 'host');
alter table webhook_secret
    add constraint webhook_secret_of_host check (tenant_id <> 'host');
alter table endpoint
    add constraint endpoint_of_host check (tenant_id <> 'host');
alter table reviewer
    add constraint reviewer_of_host check (tenant_id <> 'host');
alter table review_group
    add constraint review_group_of_host check (tenant_id <> 'host');
