//! Signature Version 4 for requests to DynamoDB, made by the `aws-sigv4` crate.
//!
//! Every request is a POST to `/` with a JSON body, so only its host, target and body differ. The headers that the
//! signature consists of are put straight among those of the request.

use std::time::SystemTime;

use aws_credential_types::Credentials as SdkCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::credentials::Credentials;

/// The service's name in signatures; DynamoDB Streams signs under the same.
const SERVICE: &str = "dynamodb";

/// The content type of every request that is sent, which is part of what is signed.
pub(super) const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// What is signed, apart from the credentials and the time.
pub struct Signable<'a> {
    /// The `Host` header as it is sent.
    pub host: &'a str,
    /// The `X-Amz-Target` header as it is sent.
    pub target: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// Signs requests to one region.
pub struct Signer {
    region: String,
}

impl Signer {
    /// A signer for that region.
    pub fn new(region: &str) -> Self {
        Self { region: region.to_owned() }
    }

    /// Signs a request as of `time`: adds `X-Amz-Date`, `Authorization` and, with temporary credentials,
    /// `X-Amz-Security-Token` to `headers`.
    ///
    /// # Errors
    /// A reason in words, if the request or the credentials cannot be sent as headers.
    pub fn sign(
        &self,
        request: &Signable<'_>,
        credentials: &Credentials,
        time: SystemTime,
        headers: &mut HeaderMap,
    ) -> Result<(), String> {
        let identity = SdkCredentials::new(
            credentials.access_key_id.as_str(),
            credentials.secret_access_key.as_str(),
            credentials.session_token.clone(),
            credentials.expires,
            "nearside",
        )
        .into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let signed =
            [("content-type", CONTENT_TYPE), ("host", request.host), ("x-amz-target", request.target)];
        let body = SignableBody::Bytes(request.body);
        let signable = SignableRequest::new("POST", "/", signed.into_iter(), body);
        let output =
            signable.and_then(|signable| sign(signable, &parameters)).map_err(|error| words(&error))?;
        for (name, value) in output.output().headers() {
            // Neither the name nor the value of a header may stand in the reason: it may be a session token.
            let name = HeaderName::try_from(name).map_err(|_| "credentials of an invalid form")?;
            let value = HeaderValue::try_from(value).map_err(|_| "credentials of an invalid form")?;
            headers.insert(name, value);
        }
        Ok(())
    }
}

/// The innermost cause of an error; the error itself says only that there is one.
fn words(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), words)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// 2026-11-21, 08:09:10.
    const TIME: Duration = Duration::from_secs(1_795_248_550);

    fn credentials(session_token: Option<&str>) -> Credentials {
        Credentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: session_token.map(str::to_owned),
            expires: None,
        }
    }

    fn signed(
        region: &str,
        request: &Signable<'_>,
        session_token: Option<&str>,
    ) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        Signer::new(region)
            .sign(request, &credentials(session_token), UNIX_EPOCH + TIME, &mut headers)
            .map(|()| headers)
    }

    /// The values are those of botocore 1.43.11 for the same request, key and time.
    #[test]
    fn a_signature_is_that_of_an_independent_implementation() {
        let request = Signable {
            host: "dynamodb.us-east-1.amazonaws.com",
            target: "DynamoDB_20120810.GetItem",
            body: br#"{"TableName":"Orders","Key":{"id":{"S":"a"}}}"#,
        };
        let headers = signed("us-east-1", &request, None).unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["x-amz-date"], "20261121T080910Z");
        assert_eq!(
            headers["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/us-east-1/dynamodb/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
             Signature=b191beaf859215b3c9efff37b6fdb522b49067f0d5d995108b42f8326bc352ab"
        );
    }

    /// The values are those of botocore 1.43.11 for the same request, key and time.
    #[test]
    fn a_session_token_is_sent_and_signed_and_blanks_of_a_target_count_once() {
        let request =
            Signable { host: "localhost:8001", target: "DynamoDB_20120810.Frob  nicate", body: b"{}" };
        let headers = signed("eu-central-1", &request, Some("FwoG/+=token")).unwrap();
        assert_eq!(headers.len(), 3);
        assert_eq!(headers["x-amz-security-token"], "FwoG/+=token");
        assert_eq!(
            headers["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/eu-central-1/dynamodb/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
             Signature=d2c50f7a21cde59c6abeb8549b64515db7a47a5bb569f1b2808595dd3937901f"
        );
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_an_error_that_does_not_show_it() {
        let request = Signable { host: "localhost", target: "DynamoDB_20120810.GetItem", body: b"{}" };
        let reason = signed("us-east-1", &request, Some("hush\nhush")).unwrap_err();
        assert!(!reason.contains("hush"), "{reason}");
    }
}
