-- Indexes for lists, which only lists may use.
--
-- Of a table that is small or young, the planner takes any index whose first column it has a value for: then the lookup of
-- one execution went through all of its tenant's by `execution_newest`, and that of one pause through all open ones of its
-- name. A condition that always holds keeps these indexes for the queries that repeat it.

drop index execution_newest;
create index execution_newest on execution (tenant_id, created_at desc, execution_id desc) where tenant_id <> '';

drop index pause_open;
create index pause_open on pause (tenant_id, opened_at, execution_id, approval_request_id)
    where status = 'open' and tenant_id <> '';

drop index pause_by_name;
create index pause_by_name on pause (tenant_id, approval_request_id) where status = 'open' and tenant_id <> '';
