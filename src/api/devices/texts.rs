//! The texts of a device in descriptions, from the one table of its fields.

use std::borrow::Cow;
use std::marker::PhantomData;

use twinhub_domain::twin::fields::{FIELDS, Shown};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The description `T` with the texts that documents show of a device.
pub struct WithTexts<T>(PhantomData<T>);

impl<T: ToSchema> PartialSchema for WithTexts<T> {
    fn schema() -> RefOr<Schema> {
        let mut schema = T::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            for field in FIELDS {
                let schema_type = match field.shown {
                    Shown::AsText | Shown::OrId => SchemaType::Type(Type::String),
                    Shown::OrNull => SchemaType::Array(vec![Type::String, Type::Null]),
                    Shown::Hidden => continue,
                };
                let text = ObjectBuilder::new().schema_type(schema_type).build();
                object.properties.insert(field.name.to_owned(), text.into());
                if field.shown != Shown::OrNull {
                    object.required.push(field.name.to_owned());
                }
            }
        }
        schema
    }
}

impl<T: ToSchema> ToSchema for WithTexts<T> {
    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}
