//! Templates, taken in: each line as one that is posted or patched is.

use tokio::sync::oneshot;
use twinhub_actors::messages::templates::{
    PutMode, PutTemplate, TemplateRefusal, TemplateRequest as Wanted, TryTemplate,
};
use twinhub_domain::Object;

use super::{Done, Existing, Kind, Wish};
use crate::api::templates::request::NewTemplate;
use crate::http::Access;
use crate::http::extract::read::read;
use crate::http::problem::ApiError;
use crate::import_export::columns::{TEMPLATES, Table};

/// The import of templates.
pub struct Templates {
    access: Access,
    existing: Existing,
    dry_run: bool,
}

impl Templates {
    /// Takes templates in as it is wished.
    pub fn new(access: Access, wish: &Wish) -> Self {
        Self { access, existing: wish.existing, dry_run: wish.dry_run }
    }

    async fn put(&self, id: &str, said: Object, how: PutMode) -> Result<(), ApiError> {
        let hub = &self.access;
        hub.check_store()?;
        let wish = Wanted { id: id.into(), body: said, mode: how, if_version: None };
        if self.dry_run {
            let (reply, tried) = oneshot::channel();
            hub.send(TryTemplate { request: wish, offset: 0, limit: 0, reply })?;
            hub.answer(tried).await??;
        } else {
            let (reply, stood) = oneshot::channel();
            let put = PutTemplate { request: wish, cause: hub.cause(), reply };
            hub.send(put)?;
            hub.answer(stood).await??;
        }
        Ok(())
    }
}

impl Kind for Templates {
    const TABLE: &'static Table = &TEMPLATES;

    async fn take(&self, row: Object) -> Result<Done, ApiError> {
        let id = read::<NewTemplate>(row.clone())?.id;
        match self.put(&id, row.clone(), PutMode::Make).await {
            Ok(()) => Ok(Done::Created { id: id.into(), token: None }),
            Err(ApiError::Template(TemplateRefusal::Taken(_))) if self.existing == Existing::Skip => {
                Ok(Done::Skipped)
            }
            Err(ApiError::Template(TemplateRefusal::Taken(_))) if self.existing == Existing::Update => {
                self.put(&id, row, PutMode::Merge).await?;
                Ok(Done::Updated { id: id.into() })
            }
            Err(error) => Err(error),
        }
    }
}
