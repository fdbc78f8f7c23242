"""Signing requests to Bedrock: an API key (bearer) or AWS credentials (SigV4, through botocore).

Target options: `region`, `profile`, `aws_access_key_id`, `aws_secret_access_key`,
`aws_session_token`. Without keys there, botocore's default chain finds them (environment, files,
SSO, container, instance). That may use the network: `prepare` does it, away from the event loop.
"""

from __future__ import annotations

import os
import re
from threading import Lock
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from ..errors import BadRequest
from ..types import Target

_HOST_REGION = re.compile(r"//bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")


class Signer:
    """Finds credentials once per profile, and signs."""

    def __init__(self) -> None:
        self._found: dict[str | None, Any] = {}
        self._lock = Lock()

    def prepare(self, target: Target) -> None:
        """Find or refresh the credentials that `headers` will use. Blocks, never raises."""
        if target.api_key or _static(target) is not None:
            return
        profile = target.options.get("profile")
        with self._lock:
            found = self._found.get(profile)
            try:
                found = found or Session(profile=profile).get_credentials()
                if found is not None:
                    found.get_frozen_credentials()
            except BotoCoreError:
                found = None
            self._found[profile] = found

    def headers(self, target: Target, url: str, body: bytes) -> list[tuple[str, str]]:
        """The headers that authenticate a POST of JSON `body` to `url`, content type included.

        Raises BadRequest (401) when there are no credentials.
        """
        plain = {"content-type": "application/json"}
        if target.api_key:
            return [*plain.items(), ("authorization", f"Bearer {target.api_key}")]
        request = AWSRequest(method="POST", url=url, headers=plain, data=body)
        SigV4Auth(self._credentials(target), "bedrock", region(target)).add_auth(request)
        return [(name.lower(), value) for name, value in request.headers.items()]

    def _credentials(self, target: Target) -> Any:
        static = _static(target)
        if static is not None:
            return static
        profile = target.options.get("profile")
        if profile not in self._found:
            self.prepare(target)
        found = self._found[profile]
        if found is None:
            message = (
                "No AWS credentials for Bedrock: set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID"
                " and AWS_SECRET_ACCESS_KEY, or sign in with the AWS CLI."
            )
            raise BadRequest(message, code="invalid_api_key", status=401)
        return found.get_frozen_credentials()


def _static(target: Target) -> Credentials | None:
    options = target.options
    key, secret = options.get("aws_access_key_id"), options.get("aws_secret_access_key")
    return Credentials(key, secret, options.get("aws_session_token")) if key and secret else None


def region(target: Target) -> str:
    """The region: of the options, the host name, the environment or the AWS profile.

    Raises BadRequest when none of them names one.
    """
    named = target.options.get("region")
    if not named and (match := _HOST_REGION.search(target.base_url)):
        named = match[1]
    named = named or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    named = named or _profile_region(target.options.get("profile"))
    if not named:
        message = "No AWS region for Bedrock: set AWS_REGION or the provider's 'region' option."
        raise BadRequest(message, status=401)
    return str(named)


def _profile_region(profile: str | None) -> str | None:
    try:
        return Session(profile=profile).get_config_variable("region")
    except BotoCoreError:
        return None
