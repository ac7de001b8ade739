//! The dependencies that crates may have, and those that they must not.

/// All that the pure crates may depend upon: values, texts, times and hashes. What their tests use is their own affair.
pub const PURE: [(&str, &[&str]); 5] = [
    ("actors/readings/Cargo.toml", &["twinhub-domain", "bytes", "parquet", "thiserror"]),
    (
        "actors/access/Cargo.toml",
        &[
            "twinhub-domain",
            "argon2",
            "base64",
            "bcrypt",
            "hmac",
            "serde",
            "sha1",
            "sha2",
            "subtle",
            "thiserror",
            "uuid",
        ],
    ),
    (
        "actors/domain/Cargo.toml",
        &[
            "arcstr",
            "bytes",
            "chrono",
            "cron",
            "serde",
            "smallvec",
            "statrs",
            "thiserror",
            "unicode-normalization",
            "uuid",
        ],
    ),
    (
        "actors/rules/Cargo.toml",
        &[
            "twinhub-domain",
            "chrono",
            "globset",
            "granit-parser",
            "minijinja",
            "regex",
            "serde",
            "strsim",
            "thiserror",
            "url",
            "uuid",
        ],
    ),
    ("actors/socketio/Cargo.toml", &["serde", "thiserror"]),
];

/// The dependencies that other crates must not have.
pub const NEVER: [(&str, &[&str]); 5] = [
    (
        "actors/Cargo.toml",
        &["twinhub-testkit", "actix-web", "utoipa", "clap", "sea-orm", "sqlx", "mqtt5", "rumqttc"],
    ),
    (
        "actors/mqtt/Cargo.toml",
        &[
            "twinhub-actors",
            "twinhub-migrations",
            "twinhub-rules",
            "twinhub-store",
            "twinhub-testkit",
            "actix",
            "sea-orm",
        ],
    ),
    (
        "actors/store/Cargo.toml",
        &["twinhub-actors", "twinhub-mqtt", "twinhub-testkit", "actix", "mqtt5", "rumqttc", "reqwest"],
    ),
    (
        "actors/tls/Cargo.toml",
        &[
            "twinhub-actors",
            "twinhub-mqtt",
            "twinhub-store",
            "actix",
            "sea-orm",
            "mqtt5",
            "rumqttc",
            "reqwest",
        ],
    ),
    ("migrations/Cargo.toml", &["twinhub-", "actix"]),
];
