//! The second line between tenants: what Postgres shows a connection of a host, whatever the statement says.

use countersign_tests::build::guest;
use countersign_tests::{Database, Host, Model};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// A database with rows of two tenants in it: each has an agent, and an execution that waits for a person.
async fn two_tenants() -> (Database, Host) {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start(&database, &model).await;
    for api in [host.api(), host.tenant("other")] {
        api.deploy("testbed", guest("testbed")).await;
        let id = api.start("testbed.pause_once", &json!({})).await;
        api.paused(&id, "only").await;
        api.secret().await;
    }
    (database, host)
}

/// A connection as hosts have them: under a role that owns nothing, for this tenant if one is named.
async fn connect(database: &Database, role: &str, tenant: Option<&str>) -> PgConnection {
    let mut connection = PgConnection::connect(&database.url).await.expect("the test server takes connections");
    let set_role = format!("set role {role}");
    connection.execute(AssertSqlSafe(set_role)).await.expect("the role is there");
    if let Some(tenant) = tenant {
        let show = format!("set countersign.tenant = '{tenant}'");
        connection.execute(AssertSqlSafe(show)).await.expect("anybody may set it");
    }
    connection
}

/// The tables with rows of tenants that the application role may read.
async fn tables(database: &Database) -> Vec<String> {
    let tables = "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid
                  where a.attname = 'tenant_id' and c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
                    and has_table_privilege('countersign_tenant', c.oid, 'select')
                  order by 1";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&database.pool).await.unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    tables
}

async fn count(connection: &mut PgConnection, query: String) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await
}

#[tokio::test]
async fn a_connection_sees_the_rows_of_its_tenant_and_no_others_whatever_it_asks() {
    let (database, _host) = two_tenants().await;
    let mut others = connect(&database, "countersign_tenant", Some("other")).await;
    let mut filled = 0;
    for table in tables(&database).await {
        let foreign = format!("select count(*) from {table} where tenant_id <> 'other'");
        let mut superuser = PgConnection::connect(&database.url).await.unwrap();
        filled += i64::from(count(&mut superuser, foreign.clone()).await.unwrap() > 0);
        assert_eq!(count(&mut others, foreign).await.unwrap(), 0, "{table}");
        let (all, own) = (
            format!("select count(*) from {table}"),
            format!("select count(*) from {table} where tenant_id = 'other'"),
        );
        assert_eq!(count(&mut others, all).await.unwrap(), count(&mut superuser, own).await.unwrap(), "{table}");
    }
    assert!(filled >= 8, "there were rows of the other tenant to be seen, in {filled} tables");
}

#[tokio::test]
async fn a_connection_writes_no_rows_of_another_tenant() {
    let (database, _host) = two_tenants().await;
    let mut others = connect(&database, "countersign_tenant", Some("other")).await;
    let cancel =
        "update execution set status = 'cancelled', finished_at = now(), wake_at = null where tenant_id = 'default'";
    assert_eq!(others.execute(cancel).await.unwrap().rows_affected(), 0);
    let revoke = others.execute("update api_key set revoked_at = now() where role = 'operator'").await;
    assert_eq!(revoke.unwrap().rows_affected(), 1, "its own key alone");
    let foreign =
        others.execute("insert into reviewer (tenant_id, reviewer, person) values ('default', 'eve', 'eve')").await;
    assert!(foreign.unwrap_err().to_string().contains("row-level security"));
    let moved = others.execute("update webhook_secret set tenant_id = 'default'").await;
    assert!(moved.unwrap_err().to_string().contains("row-level security"));
    let open = "select count(*) from pause where tenant_id = 'default' and status = 'open'";
    assert_eq!(database.number(open).await, 1, "nothing of the other tenant has changed");
}

#[tokio::test]
async fn a_connection_for_no_tenant_sees_nothing() {
    let (database, _host) = two_tenants().await;
    let mut nobodys = connect(&database, "countersign_tenant", None).await;
    let mut emptys = connect(&database, "countersign_tenant", Some("")).await;
    for table in tables(&database).await {
        let all = format!("select count(*) from {table}");
        let refused = count(&mut nobodys, all.clone()).await.unwrap_err().to_string();
        assert!(refused.contains("countersign.tenant"), "{table}: {refused}");
        assert_eq!(count(&mut emptys, all).await.unwrap(), 0, "{table}");
    }
}

#[tokio::test]
async fn the_roles_of_hosts_own_nothing_and_every_table_is_guarded() {
    let database = Database::new().await;
    let powers = "select count(*) from pg_roles where rolname in ('countersign_tenant', 'countersign_host')
                  and not rolsuper and not rolbypassrls and not rolcreaterole and not rolcreatedb";
    assert_eq!(database.number(powers).await, 2);
    let owned =
        "select count(*) from pg_class where pg_get_userbyid(relowner) in ('countersign_tenant', 'countersign_host')";
    assert_eq!(database.number(owned).await, 0);

    // What belongs to no tenant: the migrations, and what only the functions of its owner touch.
    let unguarded = "select c.relname::text from pg_class c
                     where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
                       and not (c.relrowsecurity and exists (select from pg_policy p where p.polrelid = c.oid))
                     order by 1";
    let unguarded: Vec<String> = sqlx::query_scalar(unguarded).fetch_all(&database.pool).await.unwrap();
    assert_eq!(unguarded, ["_sqlx_migrations", "component"]);
    for table in ["journal_entry", "audit_entry"] {
        for role in ["countersign_tenant", "countersign_host"] {
            for privilege in ["update", "delete", "truncate"] {
                let may = format!("select has_table_privilege('{role}', '{table}', '{privilege}')");
                let may: bool = sqlx::query_scalar(AssertSqlSafe(may)).fetch_one(&database.pool).await.unwrap();
                assert!(!may, "{role} may {privilege} {table}");
            }
        }
    }
    // A host reads for all tenants what it needs to find its work, and not what their agents said.
    for table in ["journal_entry", "log_line", "api_key", "agent", "component", "component_grant"] {
        let may = format!("select has_table_privilege('countersign_host', '{table}', 'select')");
        let may: bool = sqlx::query_scalar(AssertSqlSafe(may)).fetch_one(&database.pool).await.unwrap();
        assert!(!may, "{table}");
    }
}

#[tokio::test]
async fn tenants_that_share_the_connections_of_a_host_are_never_mixed_up() {
    let (_database, host) = two_tenants().await;
    let (ours, theirs) = (host.api(), host.tenant("another"));
    let ids = ours.all("/v1/executions").await;
    let asks = (0..400).map(|place| {
        let (ours, theirs, ids) = (ours.clone(), theirs.clone(), ids.clone());
        tokio::spawn(async move {
            let (api, wanted) = if place % 2 == 0 { (ours, ids) } else { (theirs, vec![]) };
            assert_eq!(api.all("/v1/executions").await, wanted, "request {place}");
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        ask.await.unwrap();
    }
}

#[tokio::test]
async fn a_host_works_under_a_database_user_that_owns_nothing() {
    let (database, model) = (Database::new().await, Model::start().await);
    let user = format!("app_{}", database.url.rsplit_once("/test_").unwrap().1.split('?').next().unwrap());
    let make = format!("create role {user} login noinherit in role countersign_tenant, countersign_host");
    database.pool.execute(AssertSqlSafe(make)).await.unwrap();
    let url = database.url.replacen("user=countersign", &format!("user={user}"), 1);
    assert_ne!(url, database.url);
    let pool = PgPoolOptions::new().connect(&url).await.expect("the user may log in");
    pool.execute("select * from tenant").await.expect_err("by itself it may do nothing");

    let app = Database { url, pool };
    let host = Host::start_with(&app, &model, &[("COUNTERSIGN_OWNER_DATABASE_URL", &database.url)]).await;
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;
    let id = api.start("testbed.pause_once", &json!({})).await;
    let pause = api.paused(&id, "only").await;
    api.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    assert_eq!(api.finished(&id).await["status"], "succeeded");
}
