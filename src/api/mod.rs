//! The REST API, a module for each resource: its routes, its requests and views, and thin handlers that send a message
//! to an actor and return its answer.

mod alarms;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod automation;
#[cfg(test)]
mod bodies;
mod bridges;
pub(crate) mod commands;
mod data;
pub(crate) mod devices;
pub(crate) mod docs;
pub(crate) mod events;
mod files;
pub(crate) mod firmware;
mod groups;
pub(crate) mod jobs;
mod older_words;
mod ops;
mod pairing;
pub(crate) mod provisioning;
pub(crate) mod schema;
mod statistics;
mod templates;
pub(crate) mod twin;
mod users;

pub use docs::openapi;

use crate::http::routes::Operation;

/// Names the resources once: their tables make the routes, their descriptions the OpenAPI document.
macro_rules! resources {
    ($($resource:ident),+ $(,)?) => {
        /// All routes of the API, its description and the page to try it.
        #[must_use]
        pub fn all_operations() -> Vec<Operation> {
            let tables = [docs::operations(), $($resource::operations()),+];
            tables.into_iter().flatten().collect()
        }

        /// Puts the description of every resource into the document.
        fn describe(whole: &mut utoipa::openapi::OpenApi) {
            $(whole.merge(<$resource::Description as utoipa::OpenApi>::openapi());)+
            older_words::describe(whole);
            if let Some(description) = &mut whole.info.description {
                description.push_str(&format!("\n\n{}", crate::http::extract::words::TABLE));
            }
        }
    };
}

resources! { devices, twin, commands, data, statistics, events, alarms, automation, groups, templates, jobs, firmware, files, auth,
users, audit, ops, provisioning, pairing, bridges }
