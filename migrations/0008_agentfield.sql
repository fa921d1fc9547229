-- Whether a tenant takes AgentField's approval webhooks that are signed without a time: `sha256=<hex>` over the body
-- alone. Who has seen one can send it again for ever.
alter table tenant add column agentfield_bare_signatures boolean not null default false;
