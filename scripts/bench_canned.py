"""The baseline of bench_proxy: the least that a mitmproxy addon can do, a canned answer."""

from mitmproxy import http

BODY = (
    b'{"id":"chatcmpl-b","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"This is a mock answer to: the question","refusal":null},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":9,'
    b'"total_tokens":18}}'
)


def request(flow: http.HTTPFlow) -> None:
    flow.response = http.Response.make(200, BODY, {"content-type": "application/json"})
