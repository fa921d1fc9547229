-- Whose data it is. Every primary key below leads with tenant_id, and so does every index but the queue's, so that the
-- tables can be distributed by tenant.

create table tenant (
    tenant_id  text primary key
        constraint tenant_name check (tenant_id ~ '^[a-z0-9][a-z0-9-]{0,63}$'),
    created_at timestamptz not null default now()
);

-- A key is `cs_{tenant}_{key_id}{secret}`. Only a hash of the secret is kept: it has 160 random bits, so a slow hash
-- would add nothing.
create table api_key (
    tenant_id     text not null references tenant,
    key_id        text not null,
    name          text not null constraint api_key_name check (octet_length(name) between 1 and 128),
    role          text not null
        constraint api_key_role check (role in ('operator', 'deployer', 'runner', 'reviewer')),
    secret_sha256 bytea not null constraint api_key_hash check (octet_length(secret_sha256) = 32),
    created_at    timestamptz not null default now(),
    expires_at    timestamptz,
    revoked_at    timestamptz,
    primary key (tenant_id, key_id)
);

-- What a tenant's webhooks are signed with. Several may be in force at once: that is how one is rotated. `encrypted` is
-- version 1, the id of the master key (4 bytes), a nonce (24), and 24 to 64 bytes with their tag (16). Only the hosts
-- have the master key. Of a revoked secret nothing is kept.
create table webhook_secret (
    tenant_id  text not null references tenant,
    secret_id  text not null,
    name       text not null constraint webhook_secret_name check (octet_length(name) between 1 and 128),
    encrypted  bytea
        constraint webhook_secret_form
        check (octet_length(encrypted) between 69 and 109 and get_byte(encrypted, 0) = 1),
    created_at timestamptz not null default now(),
    revoked_at timestamptz,
    constraint webhook_secret_revoked check ((encrypted is null) = (revoked_at is not null)),
    primary key (tenant_id, secret_id)
);
