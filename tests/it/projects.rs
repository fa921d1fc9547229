//! From nothing to a decided execution: `countersign new`, `build`, `deploy`, `run` and `decide`, as a user types them.

use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_tests::build::{guest, root};
use countersign_tests::{Database, Host, Model};
use serde_json::json;

use crate::command::{Folder, Said};

/// The commands of a project's README, from `build` on, against a host. `prepare` sets what its toolchain needs.
async fn walk(folder: &Folder, prepare: impl Fn(&mut Command)) {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start(&database, &model).await;
    let api = host.api();
    let key = api.post("/v1/keys", &json!({"name": "me", "role": "operator"})).await.expect(201);
    let key = key["key"].as_str().expect("a key");
    let countersign = |arguments: &[&str]| {
        let mut command = folder.countersign(arguments);
        command.env("COUNTERSIGN_URL", host.url()).env("COUNTERSIGN_API_KEY", key);
        prepare(&mut command);
        Said::by(command)
    };
    let built = countersign(&["build", "hello"]).await.ok();
    assert!(built.starts_with("hello/dist/hello.wasm"), "{built}");
    let component = std::fs::read(folder.path().join("hello/dist/hello.wasm")).expect("it is there");
    assert_eq!(folder.read("hello/.gitignore").lines().next(), Some("/dist/"));

    let deployed = countersign(&["deploy", "hello"]).await.ok();
    assert!(deployed.starts_with("hello version 1 deployed"), "{deployed}");
    assert!(deployed.contains("function   hello.announce  Drafts an announcement"), "{deployed}");
    assert!(!component.is_empty());

    let id = countersign(&["run", "hello.announce", "--input", r#"{"brief":"Night trains"}"#]).await.ok();
    let pause = api.paused(id.trim(), "review").await;
    let open = api.get(&format!("/v1/pauses/{pause}")).await.expect(200);
    assert_eq!(open["title"], "Publish this?");
    assert_eq!(open["payload"], json!({"text": "echo: Night trains"}));
    let decided = countersign(&["decide", &pause, "approved"]).await.ok();
    assert!(decided.starts_with("accepted: "), "{decided}");
    let execution = api.finished(id.trim()).await;
    assert_eq!(execution["result"], json!({"status": "approved", "text": "echo: Night trains"}), "{execution}");
    let prompt = &api.journal(id.trim()).await[0]["ask"]["messages"];
    let system = json!({"role": "system", "content": "You write short, friendly announcements."});
    assert_eq!(*prompt, json!([system, {"role": "user", "content": "Night trains"}]), "as in every language");

    // What does not fit the function's schema is refused before anything runs.
    let refused = countersign(&["run", "hello.announce", "--input", "{}"]).await.failed(3);
    assert!(refused.contains("invalid_input") && refused.contains("brief"), "{refused}");
}

#[tokio::test]
async fn a_new_project_in_rust_is_tested_built_deployed_run_and_decided() {
    let folder = Folder::new();
    let made = Said::by(folder.countersign(&["new", "hello", "--lang", "rust"])).await;
    assert!(made.err.contains("cd hello\n  cargo test\n"), "{}", made.err);
    assert_eq!(made.ok(), "hello made\n");
    let mut test = folder.command("cargo", &["test", "--quiet"]);
    test.current_dir(folder.path().join("hello"));
    let tested = Said::by(test).await.ok();
    assert!(tested.contains("1 passed"), "{tested}");
    walk(&folder, |_| ()).await;
}

/// What `make guests` installs for a language, or a variable names.
fn installed(variable: &str, place: &str) -> PathBuf {
    let place = std::env::var_os(variable).map_or_else(|| root().join(place), PathBuf::from);
    assert!(place.exists(), "{} is not there; `make guests` installs it, or {variable} names another", place.display());
    place
}

/// Needs the `bin/python` of a venv that has componentize-py. The SDK comes from the project.
#[tokio::test]
async fn a_new_project_in_python_is_tested_built_deployed_run_and_decided() {
    let python = installed("COUNTERSIGN_TEST_PYTHON", "target/python/bin/python");
    let folder = Folder::new();
    Said::by(folder.countersign(&["new", "hello", "--lang", "python"])).await.ok();
    let venv = python.parent().and_then(Path::parent).expect("VENV/bin/python");
    std::os::unix::fs::symlink(venv, folder.path().join("hello/.venv")).expect("a link");
    let sdk = folder.path().join("hello/vendor/countersign/src");
    let prepare = |command: &mut Command| {
        command.env("PYTHONPATH", &sdk).env("PYTHONDONTWRITEBYTECODE", "1");
    };
    let mut test = folder.command(&python, &["-m", "unittest"]);
    test.current_dir(folder.path().join("hello"));
    prepare(&mut test);
    let tested = Said::by(test).await;
    assert!(tested.err.contains("Ran 1 test"), "{tested:?}");
    tested.ok();
    walk(&folder, prepare).await;
}

/// Needs a `node_modules` with what the SDK for TypeScript depends on.
#[tokio::test]
async fn a_new_project_in_typescript_is_tested_built_deployed_run_and_decided() {
    let packages = installed("COUNTERSIGN_TEST_NODE_MODULES", "sdk/typescript/node_modules");
    let folder = Folder::new();
    Said::by(folder.countersign(&["new", "hello", "--lang", "typescript"])).await.ok();
    let own = folder.path().join("hello/node_modules");
    std::fs::create_dir(&own).expect("a folder");
    for entry in std::fs::read_dir(packages).expect("it is a folder") {
        let entry = entry.expect("an entry");
        if entry.file_name() != "countersign" {
            std::os::unix::fs::symlink(entry.path(), own.join(entry.file_name())).expect("a link");
        }
    }
    // As npm does with a package that is a folder.
    std::os::unix::fs::symlink("../vendor/countersign", own.join("countersign")).expect("a link");
    let mut test = folder.command("npm", &["test"]);
    test.current_dir(folder.path().join("hello"));
    let tested = Said::by(test).await.ok();
    assert!(tested.contains("pass 1"), "{tested}");
    walk(&folder, |_| ()).await;
}

#[tokio::test]
async fn a_project_is_made_in_its_own_folder_or_not_at_all() {
    let folder = Folder::new();
    let new = |arguments: &[&str]| Said::by(folder.countersign(&[&["new"], arguments].concat()));
    for bad in ["Hello", "9", "", "../hello", "my_agent", "hello-", &"a".repeat(65)] {
        let refused = new(&[bad, "--lang", "rust"]).await.failed(2);
        assert!(refused.contains("a-z 0-9 -") || refused.contains("ends with"), "{refused}");
    }
    assert!(new(&["hello"]).await.failed(2).contains("--lang"));
    assert!(new(&["hello", "--lang", "cobol"]).await.failed(2).contains("typescript"));
    folder.write("taken/file", "mine");
    assert!(new(&["taken", "--lang", "rust"]).await.failed(2).contains("taken exists and is not empty"));
    assert!(new(&["hello", "--lang", "rust", "--dir", "taken/file"]).await.failed(2).contains("is no folder"));
    assert_eq!(folder.read("taken/file"), "mine");
    // Below a file no folder can be made.
    assert!(new(&["hello", "--lang", "rust", "--dir", "taken/file/deep"]).await.code != Some(0));
    assert_eq!(folder.names(), ["taken"], "nothing was left behind");

    std::fs::create_dir(folder.path().join("empty")).expect("a folder");
    let made = new(&["hello", "--lang", "rust", "--dir", "empty", "--json"]).await.ok();
    assert_eq!(made, "{\"name\":\"hello\",\"language\":\"rust\",\"dir\":\"empty\"}\n");
    new(&["hello", "--lang", "rust", "--dir", "deep/er"]).await.ok();
    for dir in ["empty", "deep/er"] {
        assert!(folder.read(&format!("{dir}/Cargo.toml")).contains("name = \"hello\""));
    }
}

#[tokio::test]
async fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let folder = Folder::new();
    folder.write("r/Cargo.toml", "[package]\nname = \"r\"\n");
    folder.write("p/pyproject.toml", "[project]\nname = \"p\"\n");
    folder.write("t/package.json", "{\"name\": \"t\"}");
    let build = |dir: &'static str, path: &str| {
        let mut command = folder.countersign(&["build", dir]);
        command.env("PATH", folder.path().join(path));
        Said::by(command)
    };
    for (dir, tool, remedy) in
        [("r", "cargo", "https://sh.rustup.rs"), ("p", "python3", "apt install python3"), ("t", "node", "nodejs.org")]
    {
        let why = build(dir, "nothing").await.failed(1);
        assert!(why.contains(&format!("{tool} is missing")) && why.contains(remedy), "{why}");
    }
    folder.program("bin/cargo", "exit 9");
    folder.program("bin/rustc", "echo /no/such/libdir");
    folder.program("bin/python3", "echo countersign componentize_py");
    folder.program("bin/node", "exit 9");
    for (dir, what, remedy) in [
        ("r", "wasm32-wasip2 is missing", "rustup target add wasm32-wasip2"),
        ("p", "countersign and componentize_py", "cd p && python3 -m venv .venv && .venv/bin/pip install -r"),
        ("t", "packages are not installed", "cd t && npm install"),
    ] {
        let why = build(dir, "bin").await.failed(1);
        assert!(why.contains(what) && why.contains(remedy), "{why}");
    }
    let mut elsewhere = folder.countersign(&["build"]);
    elsewhere.current_dir(folder.path().join("bin"));
    let why = Said::by(elsewhere).await.failed(2);
    assert!(why.contains(". holds no project") && why.contains("pyproject.toml (Python)"), "{why}");
}

#[tokio::test]
async fn a_project_that_does_not_compile_shows_why_and_uploads_nothing() {
    let folder = Folder::new();
    Said::by(folder.countersign(&["new", "broken", "--lang", "rust"])).await.ok();
    let source = folder.read("broken/src/lib.rs").replace("review.decision", "review.no_such_field");
    folder.write("broken/src/lib.rs", source);
    // No host is there: that it is not asked for shows that nothing was uploaded.
    let mut deploy = folder.countersign(&["deploy", "broken", "--url", "http://127.0.0.1:1", "--api-key", "cs_x"]);
    deploy.env("NO_COLOR", "1");
    let why = Said::by(deploy).await.failed(1);
    assert!(why.contains("no field `no_such_field`") && why.contains("src/lib.rs:"), "{why}");
    assert!(!folder.path().join("broken/dist/broken.wasm").exists());
    let json = Said::by(folder.countersign(&["build", "broken", "--json"])).await.failed(1);
    let json: serde_json::Value = serde_json::from_str(&json).expect("one document on standard error");
    assert!(json["error"]["message"].as_str().is_some_and(|why| why.contains("no_such_field")), "{json}");
}

/// A project whose tool is ours: it copies `src/agent.wasm`, or fails if there is `src/broken`.
pub(crate) fn with_a_tool_of_ours(component: &[u8]) -> Folder {
    let folder = Folder::new();
    folder.write("desk/package.json", "{\"name\": \"@acme/desk\"}");
    folder.write("desk/node_modules/countersign/bin/countersign-build.js", "");
    folder.write("desk/src/agent.wasm", component);
    folder.program(
        "bin/node",
        r#"test "$1 $3" = "$2/node_modules/countersign/bin/countersign-build.js --output" || exit 8
        if test -e "$2/src/broken"; then echo "agent.ts:7: that is no agent" >&2; exit 1; fi
        exec /bin/cp "$2/src/agent.wasm" "$4""#,
    );
    folder
}

#[tokio::test]
async fn a_component_that_no_host_would_take_is_refused_when_it_is_built() {
    let http = r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance)))"#;
    let folder = with_a_tool_of_ours(&wat::parse_str(http).expect("a component"));
    let build = |arguments: &[&str]| {
        let mut command = folder.countersign(&[&["build", "desk"], arguments].concat());
        command.env("PATH", folder.path().join("bin"));
        Said::by(command)
    };
    let why = build(&[]).await.failed(1);
    assert!(why.contains("wasi:http/outgoing-handler@0.2.0, which this host does not give"), "{why}");
    assert_eq!(std::fs::read_dir(folder.path().join("desk/dist")).expect("a folder").count(), 0, "nothing is left");

    folder.write("desk/src/agent.wasm", guest("publisher"));
    let built = build(&["--output", "out/mine.wasm", "--json"]).await.ok();
    let built: serde_json::Value = serde_json::from_str(&built).expect("one document");
    assert_eq!((&built["name"], &built["language"]), (&json!("desk"), &json!("typescript")));
    assert_eq!(built["size_bytes"], json!(guest("publisher").len()));
    assert_eq!(std::fs::read(folder.path().join("out/mine.wasm")).expect("it is there"), guest("publisher"));
    folder.write("desk/src/broken", "");
    let why = build(&["--output", "out/mine.wasm"]).await.failed(1);
    assert!(why.contains("agent.ts:7: that is no agent"), "{why}");
    assert!(folder.path().join("out/mine.wasm").exists(), "the last component stays");
}
