//! HTTP for DynamoDB clients.
