//! `GET /api/layout`, and `POST` to replace it: the tiles of the one dashboard that all of this system's pages share.

use actix_web::HttpResponse;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use twinhub_actors::HubError;
use twinhub_actors::messages::layouts::{PutLayout, ReadLayout};
use twinhub_domain::Json;
use twinhub_domain::json::JsonError;
use twinhub_domain::payload::PayloadError;

use super::BY;
use crate::dialects::fastapi_fields::FastApiFields;
use crate::http::Access;
use crate::http::extract::body::JsonBytes;
use crate::http::problem::ApiError;
use crate::http::problem::fastapi::{FastApiError, PlaceStep};
use crate::http::reply;

/// The layout before anybody has saved one.
const NONE: &str = r#"{"tiles":[]}"#;

/// A layout as it was written: members that this dialect does not know are left out, those within `layout` keep their
/// order.
#[derive(Deserialize, Serialize)]
struct WrittenLayout<'a> {
    #[serde(borrow)]
    tiles: Vec<WrittenTile<'a>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenTile<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    title: &'a RawValue,
    #[serde(borrow)]
    sensor_type: &'a RawValue,
    #[serde(borrow)]
    layout: &'a RawValue,
}

/// The answer to a layout that was saved.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SavedLayout {
    status: &'static str,
    saved_tiles: usize,
}

pub(super) async fn read(access: Access) -> Result<HttpResponse, FastApiError> {
    let text = access.ask(ReadLayout(BY.into())).await.map_err(ApiError::from)?;
    let text = text.map_or_else(|| NONE.to_owned(), String::from);
    Ok(HttpResponse::Ok().content_type("application/json").body(text))
}

/// Keeps a layout in the place of the one before, and answers once it is stored.
pub(super) async fn save(
    body: Result<JsonBytes, ApiError>,
    access: Access,
) -> Result<HttpResponse, FastApiError> {
    let JsonBytes(body) = body?;
    check(Json::parse(&body).map_err(PayloadError::from).map_err(ApiError::from)?)?;
    let text = twinhub_domain::json::bare(&body);
    let layout: WrittenLayout = serde_json::from_slice(text)
        .map_err(|error| ApiError::from(PayloadError::from(JsonError::from(error))))?;
    let (name, cause, text) = (BY.into(), access.cause(), reply::text_of(&layout).into());
    let saved = access.change(|reply| PutLayout { name, text, cause, reply }).await;
    saved.map_err(ApiError::from)?.map_err(|_| ApiError::from(HubError::ShuttingDown))?;
    let answer = SavedLayout { status: "ok", saved_tiles: layout.tiles.len() };
    Ok(reply::json(actix_web::http::StatusCode::OK, &answer))
}

/// Checks that each tile has what it needs.
fn check(body: Json) -> Result<(), FastApiError> {
    let mut fields = FastApiFields::of_body(body)?;
    let tiles = fields.list("tiles");
    for (index, tile) in tiles.into_iter().enumerate() {
        if fields.has_many_faults() {
            break;
        }
        let steps = [PlaceStep::Name("tiles".into()), PlaceStep::Index(index)];
        let place = fields.place().iter().cloned().chain(steps).collect();
        match FastApiFields::within(tile, place) {
            Ok(mut tile) => {
                for text in ["id", "title", "sensorType"] {
                    tile.text(text);
                }
                tile.dictionary("layout");
                fields.take_faults(tile.into_faults());
            }
            Err(fault) => fields.take_faults([fault]),
        }
    }
    fields.finish()
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError as _;
    use actix_web::body::to_bytes;

    use super::*;

    /// A body may have hundreds of thousands of tiles, and each fault takes some hundred bytes.
    #[test]
    fn not_more_faults_are_told_than_anybody_reads() {
        let text = format!(r#"{{"tiles": [{}{{}}]}}"#, "{},".repeat(20_000));
        let Err(FastApiError::Fields(faults)) = check(text.parse().unwrap()) else {
            panic!("they are faults")
        };
        assert!((100..110).contains(&faults.len()), "{}", faults.len());
    }

    #[test]
    fn members_that_it_does_not_know_are_left_out() {
        let text = r#"{"theme": "dark", "tiles": [{"layout": {"i": "a", "x": 0, "h": 3.50, "b": {"z": 1, "a": 2}},
            "sensorType": "temperature", "colour": "red", "title": "T \"1\"", "id": "a"}]}"#;
        let layout: WrittenLayout = serde_json::from_str(text).unwrap();
        assert_eq!(
            reply::text_of(&layout),
            concat!(
                r#"{"tiles":[{"id":"a","title":"T \"1\"","sensorType":"temperature","#,
                r#""layout":{"i": "a", "x": 0, "h": 3.50, "b": {"z": 1, "a": 2}}}]}"#
            )
        );
    }

    #[actix_web::test]
    async fn each_tile_that_is_wrong_is_named() {
        let wrong = |text: &str| {
            let error = check(text.parse().unwrap()).unwrap_err().error_response();
            async { String::from_utf8(to_bytes(error.into_body()).await.unwrap().to_vec()).unwrap() }
        };
        let told = wrong(
            r#"{"tiles": [{"id": "a", "title": "T", "sensorType": "t", "layout": {}}, 5,
                {"id": 1, "title": "T", "layout": []}]}"#,
        )
        .await;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let faults: Vec<_> = told["detail"].as_array().unwrap().iter().collect();
        let places: Vec<_> = faults.iter().map(|fault| fault["loc"].to_string()).collect();
        assert_eq!(
            places,
            [
                r#"["body","tiles",1]"#,
                r#"["body","tiles",2,"id"]"#,
                r#"["body","tiles",2,"sensorType"]"#,
                r#"["body","tiles",2,"layout"]"#
            ]
        );
        assert!(wrong("{}").await.contains(r#""loc":["body","tiles"],"msg":"Field required""#));
        assert!(wrong(r#"{"tiles": {}}"#).await.contains(r#""type":"list_type""#));
        check(r#"{"tiles": []}"#.parse().unwrap()).unwrap();
    }
}
