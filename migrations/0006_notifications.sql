-- Whom a tenant tells of its pauses and executions. What is secret of an endpoint is in `endpoint_secret`.
create table endpoint (
    tenant_id       text not null references tenant,
    name            text not null constraint endpoint_name check (name ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
    kind            text not null constraint endpoint_kind check (kind in ('webhook', 'slack', 'email')),
    -- None: every type. Empty: only of pauses that name it.
    events          text[],
    disabled_at     timestamptz,
    disabled_reason text,
    created_at      timestamptz not null default now(),
    primary key (tenant_id, name),
    constraint endpoint_disabled check ((disabled_at is null) = (disabled_reason is null))
);

-- Where an endpoint is, and what is signed with on the way there: one address, and one or two signing secrets, each
-- encrypted as those of `webhook_secret`. An address is one of them because it often is the only secret there is.
create table endpoint_secret (
    tenant_id  text not null,
    endpoint   text not null,
    secret_id  text not null,
    purpose    text not null constraint endpoint_secret_purpose check (purpose in ('address', 'signing')),
    encrypted  bytea not null
        constraint endpoint_secret_form
        check (octet_length(encrypted) between 46 and 2200 and get_byte(encrypted, 0) = 1),
    created_at timestamptz not null default now(),
    -- When one that was replaced stops being signed with.
    expires_at timestamptz,
    primary key (tenant_id, endpoint, secret_id),
    foreign key (tenant_id, endpoint) references endpoint on delete cascade
);

-- One event, as it was when it happened: the outbox. Its id is the `webhook-id` of all its deliveries.
create table notification (
    tenant_id           text not null references tenant,
    notification_id     text not null
        constraint notification_id_form check (notification_id ~ '^msg_[0-9a-f]{32}$'),
    type                text not null,
    execution_id        text,
    approval_request_id text,
    body                text not null,
    created_at          timestamptz not null default clock_timestamp(),
    primary key (tenant_id, notification_id)
);

-- One notification for one endpoint, or by mail for one reviewer. It names them and refers to neither: a transition must
-- not fail because somebody removes an endpoint at the same moment.
create table delivery (
    tenant_id       text not null,
    delivery_id     text not null constraint delivery_id_form check (delivery_id ~ '^dlv_[0-9a-f]{32}$'),
    notification_id text not null,
    endpoint        text,
    reviewer        text,
    state           text not null default 'pending'
        constraint delivery_state check (state in ('pending', 'delivered', 'failed')),
    -- How often it was tried in all, and since it was last asked for, which is its place in the schedule.
    attempts        int not null default 0,
    tries           int not null default 0,
    -- When to try it, or, while a host does, when another may.
    next_at         timestamptz,
    -- The host that tries it, and the fence: a new random token with every claim.
    host            text,
    claim           uuid,
    last_status     int,
    last_error      text,
    created_at      timestamptz not null default clock_timestamp(),
    -- When it was delivered, or given up.
    settled_at      timestamptz,
    primary key (tenant_id, delivery_id),
    foreign key (tenant_id, notification_id) references notification,
    constraint delivery_recipient check ((endpoint is null) <> (reviewer is null)),
    constraint delivery_pending check ((state = 'pending') = (next_at is not null)),
    constraint delivery_settled check ((state = 'pending') = (settled_at is null))
)
-- As the executions' table: each row is updated a few times, and then never again.
with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- The queue: for whom there is something to do, an endpoint or, as '', all reviewers, and what of it is due; and when the
-- next of all is. Only the last is not led by tenant_id, as `execution_due`.
create index delivery_pending on delivery (tenant_id, coalesce(endpoint, ''), next_at) where state = 'pending';
create index delivery_due on delivery (next_at) where state = 'pending';
create index delivery_settled_first on delivery (settled_at) where state <> 'pending';
create index delivery_of_endpoint on delivery (tenant_id, endpoint, delivery_id);
-- Most are delivered, so a list of the others needs its own.
create index delivery_by_state on delivery (tenant_id, state, delivery_id) where state <> 'delivered';
create index delivery_of_notification on delivery (tenant_id, notification_id);

-- What came of each try.
create table delivery_attempt (
    tenant_id   text not null,
    delivery_id text not null,
    attempt     int not null constraint delivery_attempt_counted check (attempt >= 1),
    at          timestamptz not null,
    status      int,
    error       text,
    duration_ms int not null,
    response    text constraint delivery_attempt_response check (octet_length(response) <= 1024),
    primary key (tenant_id, delivery_id, attempt),
    foreign key (tenant_id, delivery_id) references delivery on delete cascade
);

-- As the API shows times.
create function rfc3339(at timestamptz) returns text language sql stable
    return to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- A fresh id. Later ones sort after earlier ones, which keeps indexes dense and lists in order.
create function fresh_id(prefix text) returns text language sql volatile
    return prefix || lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
        || right(replace(gen_random_uuid()::text, '-', ''), 20);

-- JSON text if it is short enough to be part of a notification.
create function short_json(document text) returns json language sql immutable
    return case when octet_length(document) <= 65536 then document::json end;

-- Writes one notification and its deliveries, if there is anybody to tell. Reviewers get mail only from connections of
-- hosts that can send it: see `Db::connect`.
create function notify_all(tenant text, event text, execution text, approval text, endpoints text[], reviewers text[],
                           data json) returns void language plpgsql as $$
declare
    id text := fresh_id('msg_');
begin
    insert into notification (tenant_id, notification_id, type, execution_id, approval_request_id, body)
    values (tenant, id, event, execution, approval,
            json_build_object('type', event, 'timestamp', rfc3339(clock_timestamp()), 'data', data)::text);
    insert into delivery (tenant_id, delivery_id, notification_id, endpoint, next_at)
    select tenant, fresh_id('dlv_'), id, name, clock_timestamp() from unnest(endpoints) as name;
    insert into delivery (tenant_id, delivery_id, notification_id, reviewer, next_at)
    select tenant, fresh_id('dlv_'), id, name, clock_timestamp() from unnest(reviewers) as name;
end $$;

-- The endpoints that are told of an event: those that want its type, and those that are named.
create function endpoints_for(tenant text, event text, named text[]) returns text[] language sql stable
    return array(select e.name from endpoint e
                 where e.tenant_id = tenant and e.disabled_at is null
                   and (e.events is null or event = any(e.events) or e.name = any(named))
                 order by e.name);

-- Who is asked by a pause at this moment, has not decided, and has an address; at most 256.
create function reviewers_for(p pause) returns text[] language sql stable
    return array(select r.reviewer from reviewer r
                 where r.tenant_id = p.tenant_id and r.email is not null
                   and r.person in (
                       select person from unnest(p.asked_people) as person where person not like '@%'
                       union all
                       select m.person from review_group_member m
                       where m.tenant_id = p.tenant_id
                         and m.name in (select substr(name, 2) from unnest(p.asked) as name where name like '@%'))
                   and not exists (
                       select from vote v
                       where v.tenant_id = p.tenant_id and v.execution_id = p.execution_id
                         and v.approval_request_id = p.approval_request_id and v.person = r.person)
                 order by r.reviewer limit 256);

-- A pause as the API shows it, without what is too long for a notification.
create function pause_data(p pause) returns json language sql stable
    return (select json_build_object(
        'id', p.execution_id || ':' || p.approval_request_id,
        'execution', p.execution_id,
        'agent', e.agent,
        'function', e.function,
        'approval_request_id', p.approval_request_id,
        'approval_request_url', p.approval_request_url,
        'title', p.title,
        'payload', short_json(p.payload),
        'payload_omitted', coalesce(octet_length(p.payload) > 65536, false),
        'response_schema', short_json(p.response_schema),
        'choices', p.choices,
        'feedback_required', p.feedback_required,
        'editable', p.editable,
        'default_decision', p.default_decision,
        'policy', p.policy::json,
        'stage', p.stage,
        'asked', p.asked,
        'votes', coalesce((select json_agg(json_build_object('reviewer', v.reviewer, 'claimed', v.claimed,
                                                             'stage', v.stage, 'decision', v.decision,
                                                             'voted_at', rfc3339(v.voted_at)) order by v.voted_at)
                           from vote v
                           where p.policy is not null and v.tenant_id = p.tenant_id
                             and v.execution_id = p.execution_id and v.approval_request_id = p.approval_request_id),
                          '[]'::json),
        'status', p.status,
        'decision', case when p.decision is not null then json_build_object(
            'decision', p.decision,
            'feedback', p.feedback,
            'response', short_json(p.response),
            'response_omitted', coalesce(octet_length(p.response) > 65536, false),
            'reviewer', p.reviewer,
            'claimed', p.claimed,
            'via', p.via,
            'decided_at', rfc3339(p.decided_at)) end,
        'opened_at', rfc3339(p.opened_at),
        'expires_at', rfc3339(p.expires_at))
    from execution e where e.tenant_id = p.tenant_id and e.execution_id = p.execution_id);

-- The type of the event is the trigger's argument.
create function note_pause() returns trigger language plpgsql as $$
declare
    event constant text := tg_argv[0];
    asks constant boolean := event in ('pause.opened', 'pause.advanced', 'pause.reminded', 'pause.escalated');
    endpoints text[] := endpoints_for(new.tenant_id, event, new.notify);
    reviewers text[] := '{}';
begin
    if asks and new.asked <> '{}' and current_setting('countersign.mail', true) = 'on' then
        reviewers := reviewers_for(new);
    end if;
    if endpoints = '{}' and reviewers = '{}' then
        return null;
    end if;
    perform notify_all(new.tenant_id, event, new.execution_id, new.approval_request_id, endpoints, reviewers,
                       pause_data(new));
    return null;
end $$;

create function note_execution() returns trigger language plpgsql as $$
declare
    event constant text := 'execution.' || new.status;
    endpoints text[] := endpoints_for(new.tenant_id, event, '{}');
begin
    if endpoints = '{}' then
        return null;
    end if;
    perform notify_all(new.tenant_id, event, new.execution_id, null, endpoints, '{}', json_build_object(
        'id', new.execution_id,
        'agent', new.agent,
        'function', new.function,
        'version', new.version,
        'status', new.status,
        'result', short_json(new.result),
        'result_omitted', coalesce(octet_length(new.result) > 65536, false),
        'error', short_json(new.error),
        'error_omitted', coalesce(octet_length(new.error) > 65536, false),
        'parent', new.parent_id,
        'created_by', new.created_by,
        'created_at', rfc3339(new.created_at),
        'finished_at', rfc3339(new.finished_at)));
    return null;
end $$;

create trigger pause_is_opened after insert on pause for each row
    when (new.status = 'open')
    execute function note_pause('pause.opened');
-- Also one that gets its form only after a mere wait had opened it.
create trigger pause_is_opened_again after update of status, op on pause for each row
    when (new.status = 'open' and (old.status <> 'open' or old.op <> new.op))
    execute function note_pause('pause.opened');
create trigger pause_is_advanced after update of stage on pause for each row
    when (new.status = 'open' and old.status = 'open' and new.stage > old.stage)
    execute function note_pause('pause.advanced');
-- What falls together with an escalation is part of it.
create trigger pause_is_reminded after update of reminders_sent on pause for each row
    when (new.reminders_sent > old.reminders_sent and new.escalations_done = old.escalations_done)
    execute function note_pause('pause.reminded');
create trigger pause_is_escalated after update of escalations_done on pause for each row
    when (new.escalations_done > old.escalations_done)
    execute function note_pause('pause.escalated');
create trigger pause_is_decided after update of status on pause for each row
    when (new.status = 'decided' and old.status <> 'decided')
    execute function note_pause('pause.decided');
create trigger pause_is_expired after update of status on pause for each row
    when (new.status = 'expired' and old.status <> 'expired')
    execute function note_pause('pause.expired');
create trigger pause_is_cancelled after update of status on pause for each row
    when (new.status = 'cancelled' and old.status = 'open')
    execute function note_pause('pause.cancelled');
create trigger execution_is_finished after update of finished_at on execution for each row
    when (old.finished_at is null and new.finished_at is not null)
    execute function note_execution();
