# Lines of JSON are text to Schemathesis.
import schemathesis

schemathesis.serializer.alias("application/x-ndjson", "text/plain")
