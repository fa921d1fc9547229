-- Who may be asked for a decision. A reviewer's name is what a decision bears: that of an API key, of a signed link, or
-- what a signed webhook claims. Only who is to get mail needs a row here.
--
-- A column `person` is a reviewer's name without its capitals, as `approval::person` makes it: one person, however the name
-- is written. Not by Postgres' own `lower`, which depends on the locale of the database.
create table reviewer (
    tenant_id  text not null references tenant,
    person     text not null,
    reviewer   text not null constraint reviewer_name check (octet_length(reviewer) between 1 and 256),
    email      text constraint reviewer_email check (octet_length(email) between 3 and 254),
    created_at timestamptz not null default now(),
    primary key (tenant_id, person)
);

-- A group is named `@name` where reviewers are named.
create table review_group (
    tenant_id  text not null references tenant,
    name       text not null constraint review_group_name check (name ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
    created_at timestamptz not null default now(),
    primary key (tenant_id, name)
);

-- Members need no row in `reviewer`.
create table review_group_member (
    tenant_id text not null,
    name      text not null,
    person    text not null,
    reviewer  text not null constraint review_group_member_name check (octet_length(reviewer) between 1 and 256),
    primary key (tenant_id, name, person),
    foreign key (tenant_id, name) references review_group on delete cascade
);

alter table pause drop constraint pause_name;
-- The second pause under a name is `name#2`.
alter table pause add constraint pause_name
    check (approval_request_id ~ '^[A-Za-z0-9._~-]{1,128}(#[1-9][0-9]{0,6})?$');

alter table pause
    add column editable           boolean not null default false,
    add column feedback_required  text[] not null default '{}',
    -- What is decided when the time is over, and the response that goes with it.
    add column default_decision   text,
    add column default_response   text,
    -- JSON text of an `approval::Policy`; none: the first decision of whoever may decide.
    add column policy             text,
    -- The stage that it is at, from 0.
    add column stage              int not null default 0 constraint pause_stage check (stage >= 0),
    -- Who may decide at this stage: reviewers by name, groups with an `@` before it. Empty: whoever may for the tenant.
    add column asked              text[] not null default '{}',
    -- The same, each reviewer as a `person`.
    add column asked_people       text[] not null default '{}',
    -- Names of endpoints that are told of it, beside those that are told of every pause.
    add column notify             text[] not null default '{}',
    -- JSON text of its `approval::Step`s, in the order of their times, and how many of them are done.
    add column timetable          text,
    add column steps_done         int not null default 0,
    add column reminders_sent     int not null default 0,
    add column escalations_done   int not null default 0,
    -- When the host has something to do with an open pause: the next step of its timetable, or its expiry.
    add column next_at            timestamptz,
    -- Whether `reviewer` is only what the sender of a signed webhook said.
    add column claimed            boolean not null default false,
    -- Whether any of the choices, by anyone, decides it, with nothing else to look at.
    add column is_plain           boolean not null generated always as
        (policy is null and response_schema is null and not editable and feedback_required = '{}') stored;

alter table pause drop constraint pause_decided;
-- A pause whose time was over has a decision if it had a default one; nobody took it, so there is no `via`. One that all
-- have voted on, and that nothing came of, has expired without.
alter table pause add constraint pause_decided
    check (case status when 'expired' then (decision is null or decision = default_decision) and via is null
                       else (decision is not null) = (status in ('early', 'decided'))
                            and (decision is null) = (via is null) end);

update pause set next_at = expires_at where status = 'open';

-- What has expired leaves the front of the index below; a vacuum must come before a look has to pass it by.
alter table pause set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- The timekeeper's queue. Not led by tenant_id, as the one of executions: expiries are done in the order of their times.
create index pause_due on pause (next_at) where status = 'open' and next_at is not null;
-- Reminders and escalations are taken of all tenants in turn.
create index pause_due_of_tenant on pause (tenant_id, next_at) where status = 'open' and timetable is not null;

-- What each reviewer decided, of a pause that asks several. A reviewer decides once, at whichever stage.
create table vote (
    tenant_id           text not null,
    execution_id        text not null,
    approval_request_id text not null,
    person              text not null,
    reviewer            text not null constraint vote_reviewer check (octet_length(reviewer) between 1 and 256),
    claimed             boolean not null,
    stage               int not null constraint vote_stage check (stage >= 0),
    decision            text not null,
    feedback            text,
    response            text,
    via                 text not null,
    voted_at            timestamptz not null default clock_timestamp(),
    primary key (tenant_id, execution_id, approval_request_id, person),
    foreign key (tenant_id, execution_id, approval_request_id) references pause
);
