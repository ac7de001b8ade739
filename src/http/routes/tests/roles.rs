//! Every route, asked by nobody and by each role. The table says who is let in: a route without a row fails.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use twinhub_access::password::Password;
use twinhub_access::{DisplayName, ScopeWish, SessionKind, UserName};
use twinhub_actors::access::Caller;
use twinhub_actors::messages::accounts::{AddUser, NewUser, Peer, SignIn};
use twinhub_domain::cause::Source;

use super::*;

/// Rows `METHOD path least`: the least of nobody, viewer, operator and admin who is let in.
const TABLE: &str = include_str!("roles.txt");
const PASSWORD: &str = "green horses jump";

fn rank(word: &str) -> usize {
    let ranks = ["nobody", "viewer", "operator", "admin"];
    ranks.iter().position(|rank| *rank == word).unwrap_or_else(|| panic!("{word} is no rank"))
}

/// Makes a user of this role, and signs them in: the text for the cookie.
pub(super) async fn session(state: &WebState, role: Role) -> String {
    session_in(state, &format!("the-{role}"), role, ScopeWish::default()).await
}

/// The same of a name, in a scope.
pub(super) async fn session_in(state: &WebState, name: &str, role: Role, scope: ScopeWish) -> String {
    let program = state.hub().of(Caller::Program, Source::Rest);
    let password = Password::typed(PASSWORD).unwrap();
    let user = NewUser {
        name: UserName::parse(name).unwrap(),
        email: None,
        display_name: DisplayName::default(),
        scope,
        password: password.clone(),
    };
    let login = user.name.as_str().into();
    let by = program.asker();
    program.change(|reply| AddUser { user, role, by, reply }).await.unwrap().unwrap();
    let peer = Peer { address: Ipv4Addr::LOCALHOST.into(), agent: "".into(), shows: SessionKind::Cookie };
    let signed_in = program.change(|reply| SignIn { login, password, code: None, peer, reply }).await;
    signed_in.unwrap().unwrap().token.reveal()
}

#[actix_web::test]
async fn each_role_is_let_in_where_the_table_says_and_nowhere_else() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder, AnonymousAccess::until_set_up()).await;
    let app =
        init_service(App::new().configure(|config| crate::http::configure(config, state.clone()))).await;
    let mut callers = Vec::new();
    // The first user is an admin.
    for role in [Role::Admin, Role::Operator, Role::Viewer] {
        callers.push((role.as_str(), Some(session(&state, role).await)));
    }
    callers.push(("nobody", None));

    let mut table = BTreeMap::new();
    for line in TABLE.lines() {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert!(table.insert((cells[0], cells[1]), cells[2]).is_none(), "{line} stands there twice");
    }
    let mut operations = all_operations();
    operations.sort_by_key(|operation| operation.path == "/api/auth/logout"); // it ends the session
    let mut wrong = Vec::new();
    for operation in &operations {
        let method = operation.method.allow().split(',').next().unwrap();
        let Some(least) = table.remove(&(method, &*operation.path)) else {
            wrong.push(format!("{method} {} has no row; it takes {}", operation.path, operation.permission));
            continue;
        };
        for (word, session) in &callers {
            let mut asked = request(operation);
            if let Some(session) = session {
                let cookie = format!("{}={session}", state.cookie);
                asked =
                    asked.insert_header(("Cookie", cookie)).insert_header(("Sec-Fetch-Site", "same-origin"));
            }
            let what = format!("{method} {} by {word}", operation.path);
            let status = match within(&what, try_call_service(&app, asked.to_request())).await {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            };
            let fits = match (rank(word) >= rank(least), session) {
                (true, _) => !matches!(status.as_u16(), 401 | 403 | 405 | 500),
                // FastAPI says so to who brings nothing.
                (false, None) if operation.path.starts_with("/v1/") => status == StatusCode::FORBIDDEN,
                (false, None) => status == StatusCode::UNAUTHORIZED,
                (false, Some(_)) => status == StatusCode::FORBIDDEN,
            };
            if !fits {
                wrong.push(format!("{what}: {status}, and the table says {least}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(table.is_empty(), "no routes: {table:?}");
}
