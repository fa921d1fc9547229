//! What Postgres does on this machine with nothing around it: single inserts, each a commit, by its own pgbench.

use std::process::Command;

use countersign_tests::Database;

use crate::table::{Goal, Table};

const SECONDS: &str = "3";

pub(crate) async fn measure(database: &Database, table: &mut Table) {
    sqlx::raw_sql("create table yard (id bigint generated always as identity primary key, state text, body text)")
        .execute(&database.pool)
        .await
        .expect("a table");
    let script = std::env::temp_dir().join(format!("countersign-bench-{}.sql", std::process::id()));
    std::fs::write(&script, format!("insert into yard (state, body) values ('paused', '{}');\n", "x".repeat(400)))
        .expect("a script");
    for clients in ["1", "16"] {
        let ran = Command::new("pgbench")
            .args(["--no-vacuum", "--protocol=prepared", "--time", SECONDS, "--client", clients, "--file"])
            .arg(&script)
            .arg(&database.url)
            .output();
        let said = match ran {
            Ok(ran) if ran.status.success() => String::from_utf8_lossy(&ran.stdout).into_owned(),
            Ok(ran) => panic!("pgbench: {}", String::from_utf8_lossy(&ran.stderr)),
            Err(why) => {
                println!("pgbench could not be run ({why}); it comes with PostgreSQL");
                break;
            }
        };
        let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        let rate = rate.unwrap_or_else(|| panic!("pgbench says no rate: {said}"));
        table.alone(&format!("pgbench: an insert a commit, {clients} clients"), "commits/s", rate, Goal::None);
    }
    let _ = std::fs::remove_file(&script);
}
