//! The expression languages of DynamoDB and their legacy twins.
