//! Templates, taken in: each line as one that is posted or patched is.

use tokio::sync::oneshot;
use twinhub_actors::messages::automation::RuleCaller;
use twinhub_actors::messages::templates::{
    PutMode, PutTemplate, TemplateRefusal, TemplateRequest, TryTemplate,
};
use twinhub_domain::Object;

use super::{IfExists, ImportOptions, LineOutcome, RecordImport};
use crate::api::templates::request::NewTemplate;
use crate::http::Access;
use crate::http::extract::read::read;
use crate::http::problem::ApiError;
use crate::import_export::columns::{TEMPLATES, Table};

/// The import of templates.
pub struct TemplateImport {
    access: Access,
    existing: IfExists,
    dry_run: bool,
}

impl TemplateImport {
    /// Takes templates in as it is wished.
    pub fn new(access: Access, wish: &ImportOptions) -> Self {
        Self { access, existing: wish.existing, dry_run: wish.file.dry_run }
    }

    async fn put(&self, id: &str, said: Object, how: PutMode) -> Result<(), ApiError> {
        let hub = &self.access;
        hub.check_store()?;
        let request = TemplateRequest {
            id: id.into(),
            body: said,
            mode: how,
            by: RuleCaller::default(),
            if_version: None,
        };
        if self.dry_run {
            let (reply, tried) = oneshot::channel();
            hub.send(TryTemplate { request, offset: 0, limit: 0, reply })?;
            hub.answer(tried).await??;
        } else {
            let (reply, stood) = oneshot::channel();
            let put = PutTemplate { request, cause: hub.cause(), reply };
            hub.send(put)?;
            hub.answer(stood).await??;
        }
        Ok(())
    }
}

impl RecordImport for TemplateImport {
    fn table() -> &'static Table {
        &TEMPLATES
    }

    async fn import(&self, row: Object) -> Result<LineOutcome, ApiError> {
        let id = read::<NewTemplate>(row.clone())?.id;
        match self.put(&id, row.clone(), PutMode::Make).await {
            Ok(()) => Ok(LineOutcome::Created { id: id.into(), token: None }),
            Err(ApiError::Template(TemplateRefusal::Taken(_))) if self.existing == IfExists::Skip => {
                Ok(LineOutcome::Skipped)
            }
            Err(ApiError::Template(TemplateRefusal::Taken(_))) if self.existing == IfExists::Update => {
                self.put(&id, row, PutMode::Merge).await?;
                Ok(LineOutcome::Updated { id: id.into() })
            }
            Err(error) => Err(error),
        }
    }
}
