-- The triggers that fill the outbox ask themselves whom to tell: a function in SQL is planned anew in each transaction that
-- calls it, which took longer than the change that it was called for.

create or replace function note_pause() returns trigger language plpgsql as $$
declare
    event constant text := tg_argv[0];
    asks constant boolean := event in ('pause.opened', 'pause.advanced', 'pause.reminded', 'pause.escalated');
    endpoints text[];
    reviewers text[] := '{}';
begin
    select coalesce(array_agg(e.name order by e.name), '{}') into endpoints from endpoint e
    where e.tenant_id = new.tenant_id and e.disabled_at is null
      and (e.events is null or event = any(e.events) or e.name = any(new.notify));
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

create or replace function note_execution() returns trigger language plpgsql as $$
declare
    event constant text := 'execution.' || new.status;
    endpoints text[];
begin
    select coalesce(array_agg(e.name order by e.name), '{}') into endpoints from endpoint e
    where e.tenant_id = new.tenant_id and e.disabled_at is null and (e.events is null or event = any(e.events));
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

drop function endpoints_for(text, text, text[]);
