-- The queue by tenant: from the first execution of one tenant that is due, a look goes to that of the next, however many
-- the first one has.
create index execution_due_of_tenant on execution (tenant_id, wake_at) where wake_at is not null;
