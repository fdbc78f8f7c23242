// Asks through the proxy that the environment names, and prints what it saw as JSON.
import OpenAI from "openai";
import { ProxyAgent } from "undici";

const proxy = process.env.HTTPS_PROXY;
// Node's fetch reads no proxy variables; this is what the SDK's own documentation does.
const options = proxy ? { fetchOptions: { dispatcher: new ProxyAgent(proxy) } } : {};
const client = new OpenAI({ maxRetries: 0, ...options });

const model = "gpt-4o";
const messages = [{ role: "user", content: process.argv[2] }];
const tools = [
  {
    type: "function",
    function: { name: "GetWeather", parameters: { type: "object", properties: {} } },
  },
];

const first = await client.chat.completions.create({ model, messages }).withResponse();
const second = await client.chat.completions.create({ model, messages }).withResponse();

let streamed = "";
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}

const runner = client.chat.completions.stream({ model, messages, tools });
const tool = (await runner.finalMessage()).tool_calls[0].function.arguments;

let error = null;
try {
  await client.chat.completions.create({
    model,
    messages: [{ role: "user", content: `fail ${process.argv[2]}` }],
  });
} catch (caught) {
  error = { name: caught.constructor.name, status: caught.status, code: caught.code };
}

console.log(
  JSON.stringify({
    json: first.data.choices[0].message.content,
    again: second.data.choices[0].message.content,
    statuses: [first, second].map((answer) => answer.response.headers.get("x-reflex-status")),
    stream: streamed,
    tool,
    error,
  }),
);
