//! The invariants of the design: reads the sources and fails where one is broken.

mod code;
mod manifests;
mod names;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// Text that must not stand in the files under some folders.
struct Absence {
    /// Folders and files, from the top of the repository.
    within: &'static [&'static str],
    /// Files in there that may.
    but: &'static [&'static str],
    never: &'static [&'static str],
    because: &'static str,
}

const ABSENCES: &[Absence] = &[
    Absence {
        within: &["actors/domain/src", "actors/rules/src", "actors/socketio/src"],
        but: &[],
        never: &["std::net"],
        because: "the domain is pure: no input or output",
    },
    Absence {
        within: &["actors/access/src"],
        but: &[],
        never: &[
            "TcpListener",
            "TcpStream",
            "UdpSocket",
            "ToSocketAddrs",
            "getrandom",
            "OsRng",
            "HashMap",
            "HashSet",
        ],
        because: "access is pure: addresses are values, random bytes come in as arguments, and hashed maps draw some",
    },
    Absence {
        within: &["actors/access/src", "actors/domain/src", "actors/rules/src", "actors/socketio/src"],
        but: &[],
        never: &[
            "std::fs",
            "std::thread",
            "std::env",
            "Utc::now",
            "Local::now",
            "SystemTime",
            "Instant::now",
            "Uuid::new",
            "Uuid::now",
            "async fn",
        ],
        because: "the domain is pure: no input or output, and time and ids come in as arguments",
    },
    Absence {
        within: &["actors/access/src", "actors/domain/src", "actors/rules/src", "actors/socketio/src"],
        but: &[],
        never: &["Mutex", "RwLock", "static mut", "thread_local"],
        because: "the domain is pure: what changes is an argument",
    },
    Absence {
        within: &["actors/access/src", "actors/domain/src", "actors/rules/src", "actors/socketio/src"],
        but: &["actors/rules/src/template/jinja.rs"], // Jinja writes to a writer: into memory, to a limit
        never: &["std::io"],
        because: "the domain is pure: no input or output",
    },
    Absence {
        within: &[
            "actors/src",
            "actors/access/src",
            "actors/mqtt/src",
            "actors/rules/src",
            "actors/domain/src",
            "src",
        ],
        but: &["src/telemetry.rs"],
        never: &["entities", "EntityTrait", "ActiveModel", "ColumnTrait", "sqlx"],
        because: "entities never leave the store",
    },
    Absence {
        within: &["src"],
        but: &["src/cli/migrate.rs"],
        never: &["sea_orm"],
        because: "the database is known to the store, and to the command that migrates it",
    },
    Absence {
        within: &["migrations/src"],
        but: &[],
        never: &["twinhub_", "twinhub::"],
        because: "history is frozen: a migration must not change with the program",
    },
    Absence {
        within: &["actors/src", "actors/mqtt/src", "actors/store/src"],
        but: &[],
        never: &["actix_web", "actix_http", "StatusCode", "HttpResponse", "http::"],
        because: "the actors know no HTTP",
    },
    Absence {
        within: &["src/api", "src/dialects", "src/live"],
        but: &[],
        never: &["sea_orm", "twinhub_migrations", "store::sql", "SELECT ", "rumqttc", "mqtt5"],
        because: "the API sends messages to actors: it knows neither SQL nor MQTT",
    },
    Absence {
        within: &["src"],
        but: &["src/live/pump.rs"],
        never: &["subscriptions.next()"],
        because: "one pump takes notifications from subscriptions: a transport only writes them",
    },
    Absence {
        within: &["actors/mqtt/src", "src"],
        but: &["actors/mqtt/src/broker.rs", "actors/mqtt/src/broker/", "src/telemetry.rs"],
        never: &["mqtt5"],
        because: "the embedded broker can be replaced: only its own link knows it",
    },
    Absence {
        within: &["actors/src", "src"],
        but: &[
            "actors/src/webhooks.rs",
            "actors/src/webhooks/",
            "src/single_sign_on/",
            "src/dialects/cloud_backend/weather/",
            "src/cli/remote.rs",
            "src/cli/simulate.rs",
            "src/cli/simulate/",
        ],
        never: &["reqwest"],
        because: "requests outward are sent by the sender of webhooks alone, to the provider of single sign-on, to the weather service, by the command that asks a hub, and by devices that are played",
    },
    Absence {
        within: &["src/api", "src/live"],
        but: &[
            "src/api/files/",               // lines of files
            "src/api/automation/change.rs", // rules are read where their grammar is
            "src/api/twin/schedule.rs",     // and schedules too
        ],
        never: &["Fields::"],
        because: "a body or a frame is one struct, which is read and described",
    },
    Absence {
        within: &["src"],
        but: &["src/http/problem.rs", "src/http/problem/", "src/api/ops/health.rs"], // that it is not ready is no error
        never: &[
            "BAD_REQUEST",
            "UNAUTHORIZED",
            "FORBIDDEN",
            "NOT_FOUND",
            "METHOD_NOT_ALLOWED",
            "CONFLICT",
            "GONE",
            "PRECONDITION_FAILED",
            "PAYLOAD_TOO_LARGE",
            "UNPROCESSABLE_ENTITY",
            "TOO_MANY_REQUESTS",
            "INTERNAL_SERVER_ERROR",
            "SERVICE_UNAVAILABLE",
            "GATEWAY_TIMEOUT",
            "RANGE_NOT_SATISFIABLE",
            "BadRequest()",
            "NotFound()",
            "Conflict()",
            "InternalServerError()",
        ],
        because: "src/http/problem.rs and its folder alone name the status codes of errors",
    },
    Absence {
        within: &["actors/src/messages"],
        but: &[],
        never: &[
            "Addr<",
            "crate::accounts",
            "crate::alarms",
            "crate::archive",
            "crate::automation",
            "crate::clock_watch",
            "crate::feed",
            "crate::fleet",
            "crate::hub",
            "crate::ingress",
            "crate::interpreter",
            "crate::journal",
            "crate::outbox",
            "crate::search",
            "crate::supervisor",
            "crate::timers",
            "crate::twin",
            "crate::webhooks",
        ],
        because: "messages name recipients and import no actor, so the imports are the graph of waits between actors",
    },
    Absence {
        within: &["actors/src", "src"],
        but: &[],
        never: &[".do_send("],
        because: "do_send ignores the mailbox's bound and drops silently: `mailbox::try_send_unbounded` reports a stopped actor",
    },
    Absence {
        within: &SOURCES,
        but: &[],
        never: &["#[allow(", "#![allow("],
        because: "an exception that is not needed any more must be noticed: #[expect(…, reason)]",
    },
];

/// The core: it knows twins, and dialects translate at the edge.
const CORE: [&str; 5] = ["actors/access", "actors/domain", "actors/src", "actors/rules", "actors/store"];

/// Words of a dialect that the core must not know, not even as parts of names, in comments or in tests. Rows and events
/// hold them: the core carries them without a look.
const DIALECT_WORDS: [&str; 7] =
    ["dispositivo", "horario", "encendido", "parametros", "estado", "reclamad", "iamis"];

/// Where the sources of the program's crates are.
const SOURCES: [&str; 12] = [
    "src",
    "actors/src",
    "actors/access/src",
    "actors/domain/src",
    "actors/mqtt/src",
    "actors/readings/src",
    "actors/rules/src",
    "actors/socketio/src",
    "actors/store/src",
    "actors/testkit/src",
    "actors/tls/src",
    "migrations/src",
];

/// First words of a doc comment or a description that put a clause in the place of a noun.
const SLOW: [&str; 9] = ["What", "Whatever", "How", "Who", "Whoever", "Whose", "Which", "Why", "Those"];

/// The beginning of a description among the attributes of a route or a schema.
const DESCRIPTION: &str = "description = \"";

/// Lines that a source file has at most; a longer one has more than one job.
const LONGEST_FILE: usize = 500;

#[test]
fn layers_do_not_import_upward() {
    let mut broken = Vec::new();
    let all: Vec<_> = SOURCES.into_iter().flat_map(sources).collect();
    let tests = places_of_tests(&all);
    for absence in ABSENCES {
        for file in absence.within.iter().flat_map(|place| sources(place)) {
            let name = relative(&file);
            if file.ancestors().any(|place| tests.contains(place)) {
                continue;
            }
            if absence.but.iter().any(|but| name == *but || but.ends_with('/') && name.starts_with(but)) {
                continue;
            }
            for (number, line) in code_of(&file) {
                if let Some(word) = absence.never.iter().find(|word| mentions(&line, word)) {
                    broken.push(format!("{name}:{number}: `{word}`, but {}", absence.because));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_core_speaks_no_dialect() {
    for file in CORE.iter().flat_map(|place| sources(place)) {
        let text = std::fs::read_to_string(&file).unwrap().to_lowercase();
        let word = DIALECT_WORDS.iter().find(|word| text.contains(**word));
        assert!(word.is_none(), "{}: {word:?} is a dialect's word", relative(&file));
        let path = relative(&file).to_lowercase();
        assert!(DIALECT_WORDS.iter().all(|word| !path.contains(word)), "{path}");
    }
}

#[test]
fn main_is_thin_and_no_file_is_fat() {
    let lines = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count();
    assert!(lines(&root().join("src/main.rs")) < 50);
    for place in SOURCES.into_iter().chain(["examples", "tests"]) {
        for file in sources(place) {
            assert!(lines(&file) <= LONGEST_FILE, "{} has {} lines", relative(&file), lines(&file));
        }
    }
}

#[test]
fn the_crates_know_each_other_one_way() {
    for (path, may) in manifests::PURE {
        for name in dependencies(path) {
            // `chrono-tz` and `serde_json` belong to theirs.
            assert!(may.iter().any(|of| name.starts_with(of)), "{path}: {name}");
        }
    }
    for (path, never) in manifests::NEVER {
        for name in dependencies(path) {
            assert!(!never.iter().any(|of| name.starts_with(of)), "{path}: {name}");
        }
    }
}

/// So the imports of the actors' crate are the graph of waits between actors, and no actor waits for itself.
#[test]
fn actor_modules_import_without_cycles() {
    const ROOT: &str = "actors/src";
    let files = sources(ROOT);
    let tests = places_of_tests(&files);
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.ancestors().any(|place| tests.contains(place))) {
        let name = relative(file);
        let module = name[ROOT.len() + 1..].split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" {
            continue;
        }
        for (_, line) in code_of(file) {
            for (at, _) in line.match_indices("crate::") {
                let named: String =
                    line[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let named = match &*named {
                    "HubError" => "error",
                    "Hub" | "Settings" => "hub",
                    "SystemClock" => "clock",
                    named => named,
                };
                if named != module && !named.is_empty() {
                    imports.entry(module.clone()).or_default().insert(named.to_owned());
                }
            }
        }
    }
    assert!(imports["hub"].contains("supervisor") && imports["messages"].contains("error"), "{imports:?}");
    // Modules that import none of those that are left are taken away until nothing is left but circles.
    while let Some(free) =
        imports.iter().find(|(_, of)| !of.iter().any(|module| imports.contains_key(module)))
    {
        let free = free.0.clone();
        imports.remove(&free);
    }
    assert!(imports.is_empty(), "in a circle, or above one: {imports:#?}");
}

/// A type is small enough to be looked up in so many files: beyond that its parts want to be types of their own.
const MOST_FILES_OF_A_TYPE: usize = 3;

/// Counted are the files with an `impl` of the type itself, or of an actor's `Handler`.
#[test]
fn no_type_is_spread_over_many_files() {
    let all: Vec<_> = SOURCES.into_iter().flat_map(sources).collect();
    let tests = places_of_tests(&all);
    let mut files: BTreeMap<(&str, String), BTreeSet<String>> = BTreeMap::new();
    for place in SOURCES {
        for file in sources(place) {
            if file.ancestors().any(|place| tests.contains(place)) {
                continue;
            }
            for name in code::read(&std::fs::read_to_string(&file).unwrap()).implemented() {
                files.entry((place, name)).or_default().insert(relative(&file));
            }
        }
    }
    assert_eq!(files[&("actors/src", "Journal".to_owned())].len(), 1, "nothing is counted");
    files.retain(|_, files| files.len() > MOST_FILES_OF_A_TYPE);
    assert!(files.is_empty(), "larger than {MOST_FILES_OF_A_TYPE} files: {files:#?}");
}

/// A reader who looks a type up finds what it is there, and not elsewhere.
#[test]
fn no_doc_comment_sends_its_reader_away() {
    let empty = ["See the", "module."].join(" ");
    let all = SOURCES.iter().flat_map(|place| sources(place));
    let broken: Vec<_> = all.filter(|file| std::fs::read_to_string(file).unwrap().contains(&empty)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A reader finds the thing by its noun: a doc comment, and a description in the API's document, name it first.
#[test]
fn doc_comments_begin_with_a_noun() {
    let mut broken = Vec::new();
    for file in SOURCES.iter().flat_map(|place| sources(place)) {
        let name = relative(&file);
        let text = std::fs::read_to_string(&file).unwrap();
        let mut inside = false; // in a comment that has begun
        for (index, line) in text.lines().enumerate() {
            let comment = ["///", "//!"].iter().find_map(|mark| line.trim_start().strip_prefix(mark));
            let is_slow = !inside && comment.is_some_and(begins_with_a_clause)
                || line.split(DESCRIPTION).skip(1).any(begins_with_a_clause);
            if is_slow {
                broken.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
            inside = comment.is_some();
        }
    }
    assert!(broken.is_empty(), "the noun comes first:\n{}", broken.join("\n"));
}

fn begins_with_a_clause(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|word| SLOW.contains(&word.trim_end_matches([',', ';', '.'])))
}

/// The entries under `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(manifest)).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let names: Vec<String> = table["dependencies"].as_table().unwrap().keys().cloned().collect();
    assert!(!names.is_empty(), "{manifest}");
    names
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn relative(file: &Path) -> String {
    file.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/")
}

/// All Rust files at `place`, which may be missing.
fn sources(place: &str) -> Vec<PathBuf> {
    let path = root().join(place);
    if path.is_file() {
        return vec![path];
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&relative(&path)));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of code with their numbers: without comments and without tests, which may import anything.
fn code_of(file: &Path) -> Vec<(usize, String)> {
    code::read(&std::fs::read_to_string(file).unwrap()).lines
}

/// The files and folders of modules that are there for tests alone.
fn places_of_tests(files: &[PathBuf]) -> HashSet<PathBuf> {
    let mut places = HashSet::new();
    for file in files {
        let folder = match file.file_name().and_then(|name| name.to_str()) {
            Some("mod.rs" | "lib.rs" | "main.rs") => file.parent().unwrap().to_owned(),
            _ => file.with_extension(""),
        };
        for module in code::read(&std::fs::read_to_string(file).unwrap()).test_modules {
            places.insert(folder.join(format!("{module}.rs")));
            places.insert(folder.join(module));
        }
    }
    places
}

/// True when `word` stands in `line` on its own, and not as a part of a longer name.
fn mentions(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part_of_name);
        let after = line[at + word.len()..].chars().next().is_some_and(part_of_name);
        let open_end = !word.ends_with(part_of_name);
        let open_start = !word.starts_with(part_of_name);
        (open_start || !before) && (open_end || !after)
    })
}
