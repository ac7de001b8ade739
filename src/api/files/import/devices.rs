//! Devices, taken in: each line as a registration or a change of one device is.

use std::iter;

use twinhub_actors::HubError;
use twinhub_actors::access::{InputRequest, token_hashes};
use twinhub_actors::messages::archive::{FindSerial, LoadTwins};
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_domain::fleet::Lifecycle;
use twinhub_domain::json::{difference, fields_of};
use twinhub_domain::twin::{Change, Registration, UnknownListeners};
use twinhub_domain::{DeviceId, DeviceNumber, Input, Json, Object, Refusal, Twin};
use twinhub_rules::device_template;

use super::{IfExists, ImportOptions, LineOutcome, RecordImport};
use crate::api::devices::register::{
    DeviceRegistration, check_serial, device_registration, leave_for_claim, make_id,
};
use crate::api::devices::request::{DeviceChange, NewDevice};
use crate::api::devices::token;
use crate::api::groups::check_group;
use crate::http::Access;
use crate::http::extract::fields::{FieldError, Fields};
use crate::http::extract::read::read;
use crate::http::problem::ApiError;
use crate::import_export::columns::{DEVICES, Table};

/// The import of devices.
pub struct DeviceImport {
    access: Access,
    existing: IfExists,
    dry_run: bool,
    tokens: bool,
}

/// A line, taken apart.
struct DeviceLine {
    claimed: bool,
    lifecycle: Option<Lifecycle>,
    desired: Option<Object>,
    /// The rest of the line: the fields of a registration.
    rest: Object,
}

impl DeviceImport {
    /// Takes devices in as it is wished.
    pub fn new(access: Access, options: &ImportOptions) -> Self {
        Self { access, existing: options.existing, dry_run: options.file.dry_run, tokens: options.tokens }
    }

    /// The device with this serial number.
    async fn holder(&self, row: &Object) -> Result<Option<Twin>, ApiError> {
        match row.get("serial_number").and_then(Json::as_str).filter(|serial| !serial.is_empty()) {
            Some(serial) => {
                let found = self.access.ask(FindSerial(serial.to_owned())).await??;
                check_serial(&self.access, serial, found.as_ref().map(|twin| &twin.id)).await?;
                Ok(found)
            }
            None => Ok(None),
        }
    }

    async fn find(&self, id: &DeviceId) -> Result<Option<Twin>, ApiError> {
        Ok(self.access.ask(LoadTwins(vec![id.clone()])).await??.pop())
    }

    /// The device of a line: the one that it names, or the one that has its serial number.
    async fn device(&self, named: Option<DeviceId>, row: &Object) -> Result<DeviceId, ApiError> {
        let taken = |holder: &Twin| ApiError::SerialTaken {
            serial: row.get("serial_number").and_then(Json::as_str).unwrap_or_default().to_owned(),
            device: Some(holder.id.to_string()),
        };
        match (named, self.holder(row).await?) {
            (Some(id), Some(holder)) if holder.id != id => Err(taken(&holder)),
            (Some(id), _) => Ok(id),
            (None, Some(holder)) if holder.control.claimed && self.existing == IfExists::Refuse => {
                Err(taken(&holder))
            }
            (None, Some(holder)) => Ok(holder.id),
            (None, None) => Ok(DeviceId::parse(&make_id(self.access.now()))?),
        }
    }

    async fn register(&self, row: &Object, line: DeviceLine) -> Result<LineOutcome, ApiError> {
        let DeviceLine { claimed, lifecycle, desired, rest } = line;
        let DeviceRegistration { id, token, code, mut patch, .. } = device_registration(read(rest)?)?;
        check_group(&self.access, &patch)?;
        let id = self.device(id, row).await?;
        if let Some(code) = &code {
            leave_for_claim(&mut patch, &self.access, code);
        }
        if let Some(desired) = desired {
            patch.insert("desired", desired.into());
        }
        if !claimed && code.is_none() {
            if token.is_some() {
                let detail = "an unclaimed device has no token";
                return Err(FieldError::bad("auth_token", detail).into());
            }
            return self.appear(id, row, patch, lifecycle).await;
        }
        let made = match token {
            None if self.tokens && !self.dry_run => Some(token::make()?),
            _ => None,
        };
        let (hub, tokens) = (&self.access, &self.access.state.tokens);
        let given = match &token {
            Some(token) => Some(self.access.state.giving.begin(hub, tokens, token, &id).await?),
            None => None,
        };
        if let Some(token) = token.as_deref().or(made.as_deref()) {
            tokens.put(token, &mut patch)?;
        }
        // A new device is in service without a word.
        let register = Input::Register(Box::new(Registration { patch }));
        let inputs = iter::once(register).chain(out_of_service(lifecycle));
        let delivering = self.deliver(&id, inputs.collect(), IfUnknown::Begin);
        let claims = &self.access.state.claims;
        let delivered = match (&code, self.dry_run) {
            (None, _) => delivering.await,
            (Some(_), false) => claims.limited(hub, &id, delivering).await,
            (Some(_), true) => claims.limited_trial(hub, &id, delivering).await,
        };
        drop(given);
        match delivered {
            Ok(()) => Ok(LineOutcome::Created { id: id.to_string(), token: made }),
            Err(ApiError::Hub(HubError::Refused(Refusal::Registered(_) | Refusal::Retired))) => {
                self.is_there(id, row, lifecycle).await
            }
            Err(error) => Err(error),
        }
    }

    /// An unclaimed device, as if it had appeared by itself.
    async fn appear(
        &self,
        id: DeviceId,
        row: &Object,
        patch: Object,
        lifecycle: Option<Lifecycle>,
    ) -> Result<LineOutcome, ApiError> {
        if self.find(&id).await?.is_some() {
            return self.is_there(id, row, lifecycle).await;
        }
        let inputs = iter::once(change(patch)).chain(out_of_service(lifecycle));
        self.deliver(&id, inputs.collect(), IfUnknown::Appear).await?;
        Ok(LineOutcome::Created { id: id.to_string(), token: None })
    }

    async fn is_there(
        &self,
        id: DeviceId,
        row: &Object,
        lifecycle: Option<Lifecycle>,
    ) -> Result<LineOutcome, ApiError> {
        match self.existing {
            IfExists::Refuse => Err(HubError::Refused(Refusal::Registered(id)).into()),
            IfExists::Skip => Ok(LineOutcome::Skipped),
            IfExists::Update => self.update(&id, row, lifecycle).await,
        }
    }

    /// Changes the fields that the line names, and no others.
    async fn update(
        &self,
        id: &DeviceId,
        row: &Object,
        lifecycle: Option<Lifecycle>,
    ) -> Result<LineOutcome, ApiError> {
        let mut row = row.clone();
        row.remove("device_id");
        row.remove("claimed");
        row.remove("claim_code"); // it has one, or is somebody's already
        if let Some(Json::String(token)) = row.remove("auth_token") {
            let is_its_own = |twin: &Twin| self.access.state.tokens.is_among(&token_hashes(twin), &token);
            if !self.find(id).await?.as_ref().is_some_and(is_its_own) {
                let detail = "the device is there already, with another token, and keeps it";
                return Err(FieldError::bad("auth_token", detail).into());
            }
        }
        let mut patch = read::<DeviceChange>(row)?.patch();
        check_group(&self.access, &patch)?;
        let (before, after) = (into_service(lifecycle), out_of_service(lifecycle));
        if after.is_some() {
            self.leave_out_what_is_desired_already(id, &mut patch).await?;
        }
        let comes_into_service = before.is_some();
        let inputs: Vec<Input> = [before, Some(change(patch)), after].into_iter().flatten().collect();
        if comes_into_service {
            // Or the device would be in service, and the line refused.
            self.try_out(id, inputs.clone(), IfUnknown::Refuse).await?;
        }
        self.deliver(id, inputs, IfUnknown::Refuse).await?;
        Ok(LineOutcome::Updated { id: id.to_string() })
    }

    /// Leaves `desired` out where the twin is out of service and has it already: nothing can be desired of such a
    /// device, and else no file with one could come in twice.
    async fn leave_out_what_is_desired_already(
        &self,
        id: &DeviceId,
        patch: &mut Object,
    ) -> Result<(), ApiError> {
        let Some(desired) = patch.get("desired").and_then(Json::as_object) else { return Ok(()) };
        let Some(twin) = self.find(id).await? else { return Ok(()) };
        let is_so = difference(&twin.desired.to_object(), desired).is_empty();
        if is_so && twin.lifecycle().is_out_of_service() {
            patch.remove("desired");
        }
        Ok(())
    }

    /// Changes a device whose line has no name: that is no registration.
    async fn update_only(&self, row: &Object, line: DeviceLine) -> Result<LineOutcome, ApiError> {
        let DeviceLine { lifecycle, rest, .. } = line;
        let mut fields = Fields::of(rest, fields_of::<NewDevice>())?;
        let id = fields.text("device_id")?.map(|id| DeviceId::parse(&id)).transpose();
        let id = id.map_err(|error| FieldError::bad("device_id", error.to_string()))?;
        let id = self.device(id, row).await?;
        match self.update(&id, row, lifecycle).await {
            Err(ApiError::Hub(HubError::Refused(Refusal::Unknown(_)))) => {
                Err(FieldError::missing("name").into())
            }
            done => done,
        }
    }

    /// Has the twin take these in, one after the other; where nothing is to be changed, a copy of it.
    async fn deliver(
        &self,
        id: &DeviceId,
        inputs: Vec<Input>,
        mut if_unknown: IfUnknown,
    ) -> Result<(), ApiError> {
        if self.dry_run {
            return self.try_out(id, inputs, if_unknown).await;
        }
        for input in inputs {
            self.access.deliver(InputRequest::new(id.clone(), input).if_unknown(if_unknown)).await?;
            if_unknown = IfUnknown::Refuse; // it is known from now on
        }
        Ok(())
    }

    /// Has a copy of the twin take these in.
    async fn try_out(
        &self,
        id: &DeviceId,
        inputs: Vec<Input>,
        if_unknown: IfUnknown,
    ) -> Result<(), ApiError> {
        let (hub, cause) = (&self.access, self.access.cause());
        let now = hub.now();
        let found = self.find(id).await?;
        let is_known = found.is_some();
        let mut twin = found.unwrap_or_else(|| Twin::new(id.clone(), DeviceNumber::default(), now));
        if !is_known && if_unknown == IfUnknown::Refuse {
            return Err(HubError::Refused(Refusal::Unknown(id.to_string())).into());
        }
        if !is_known && if_unknown == IfUnknown::Appear {
            let _ = twin.apply(Input::Appear, now, &cause); // nothing stands against it
        }
        for input in inputs {
            device_template::apply(&mut twin, input, now, &cause, &UnknownListeners, || hub.catalog())
                .map_err(HubError::Refused)?;
        }
        Ok(())
    }
}

impl RecordImport for DeviceImport {
    fn table() -> &'static Table {
        &DEVICES
    }

    async fn import(&self, row: Object) -> Result<LineOutcome, ApiError> {
        let mut row = row;
        let line = line(row.clone())?;
        row.remove("lifecycle");
        let has_name = line.rest.get("name").is_some_and(|name| *name != Json::Null);
        let done = if self.existing == IfExists::Update && !has_name {
            self.update_only(&row, line).await
        } else {
            self.register(&row, line).await
        };
        done.map_err(by_its_column)
    }
}

/// Files call a template's id `template`.
fn by_its_column(error: ApiError) -> ApiError {
    match error {
        ApiError::Hub(HubError::Refused(Refusal::Invalid { field, detail })) if field == "template_id" => {
            FieldError::bad("template", detail).into()
        }
        other => other,
    }
}

fn change(patch: Object) -> Input {
    Input::Change(Box::new(Change { patch }))
}

/// The input before a change of a device that is to be in service.
fn into_service(lifecycle: Option<Lifecycle>) -> Option<Input> {
    lifecycle.filter(|state| *state == Lifecycle::Active).map(stand)
}

/// The input after a change of a device that is to be out of service. The state `provisioned` comes by itself.
fn out_of_service(lifecycle: Option<Lifecycle>) -> Option<Input> {
    lifecycle.filter(|state| state.is_out_of_service()).map(stand)
}

fn stand(state: Lifecycle) -> Input {
    Input::SetLifecycle { state, reason: "imported".into() }
}

fn line(row: Object) -> Result<DeviceLine, FieldError> {
    let mut fields = Fields::any(row);
    let claimed = fields.flag("claimed")?.unwrap_or(true);
    let desired = fields.object("desired")?;
    let lifecycle = fields.text("lifecycle")?.map(|word| {
        Lifecycle::parse(&word).ok_or_else(|| {
            let shown: String = word.chars().take(64).collect();
            let detail = format!("expected provisioned, active, suspended or retired, found `{shown}`");
            FieldError::bad("lifecycle", detail)
        })
    });
    Ok(DeviceLine { claimed, lifecycle: lifecycle.transpose()?, desired, rest: fields.rest() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import_export::columns::ColumnUse;

    #[test]
    fn all_that_can_be_registered_and_changed_can_be_imported() {
        let columns = || DEVICES.columns.iter().filter(|column| column.use_of != ColumnUse::ExportOnly);
        let known = |name: &str| columns().any(|column| column.name == name);
        for field in [fields_of::<NewDevice>(), fields_of::<DeviceChange>()].concat() {
            assert!(known(field) || field == "template_id", "{field}"); // `template` by its other name
        }
        for column in columns().filter(|column| !["claimed", "desired", "lifecycle"].contains(&column.name)) {
            assert!(fields_of::<NewDevice>().contains(&column.name), "{}", column.name);
        }
    }
}
