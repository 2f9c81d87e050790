// Draws the OpenAPI document of this server: operations by their part of the API, and a form to try each.
"use strict";

/** An element with attributes and children; text stays text. */
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

function resolved(api, thing) {
  if (!thing || !thing.$ref) return thing;
  return thing.$ref.slice(2).split("/").reduce((at, part) => at?.[part], api);
}

/** A schema in a few words. */
function word(schema) {
  if (schema === true || !schema) return "anything";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const several = schema.oneOf ?? schema.anyOf;
  if (several) return several.map(word).join(" | ");
  const type = [schema.type ?? "anything"].flat().join(" | ");
  if (schema.items) return "list of " + word(schema.items);
  return schema.format ? `${type} (${schema.format})` : type;
}

/** Something that a schema allows, as a beginning for whoever writes a body. */
function example(api, schema, depth = 0) {
  schema = resolved(api, schema);
  if (schema === true || !schema || depth > 6) return null;
  if (schema.examples?.length) return schema.examples[0];
  if ("const" in schema) return schema.const;
  if ("default" in schema) return schema.default;
  if (schema.enum) return schema.enum[0];
  const several = schema.oneOf ?? schema.anyOf;
  const type = [schema.type ?? []].flat()[0];
  if (several && type !== "object") return example(api, several[0], depth + 1);
  if (type === "object" || schema.properties) {
    const own = several ? example(api, several[0], depth + 1) : {};
    const required = new Set(schema.required ?? []);
    const members = Object.entries(schema.properties ?? {}).filter(([name]) => required.has(name));
    return Object.assign({}, own, Object.fromEntries(members.map(([name, of]) => [name, example(api, of, depth + 1)])));
  }
  if (type === "array") return [example(api, schema.items, depth + 1)];
  if (type === "integer" || type === "number") return schema.minimum ?? 1;
  if (type === "boolean") return true;
  return type === "string" ? "text" : null;
}

/** The members of a schema as a table; a schema without any as words. */
function members(api, schema) {
  const found = resolved(api, schema);
  if (!found?.properties) return make("p", {}, make("code", {}, word(schema)), " ", found?.description ?? "");
  const required = new Set(found.required ?? []);
  const rows = Object.entries(found.properties).map(([name, of]) => make("tr", {},
    make("td", {}, make("code", {}, name), required.has(name) ? " (needed)" : ""),
    make("td", {}, make("code", {}, word(of))),
    make("td", {}, resolved(api, of)?.description ?? "")));
  return make("table", {}, ...rows);
}

function described(api, path, method, operation) {
  const inputs = [];
  const parameters = (operation.parameters ?? []).map((each) => resolved(api, each));
  const rows = parameters.map((parameter) => {
    const input = make("input", { "aria-label": parameter.name, placeholder: word(parameter.schema) });
    inputs.push([parameter, input]);
    return make("tr", {}, make("td", {}, make("code", {}, parameter.name), " ", make("span", { class: "faint" }, parameter.in)),
      make("td", {}, parameter.description ?? ""), make("td", {}, input));
  });
  const parts = [];
  if (rows.length) parts.push(make("h3", {}, "Parameters"), make("table", {}, ...rows));
  const content = operation.requestBody?.content ?? {};
  const media = make("select", { "aria-label": "Media type" }, ...Object.keys(content).map((name) => make("option", {}, name)));
  const body = make("textarea", { "aria-label": "Body", spellcheck: "false" });
  if (Object.keys(content).length) {
    const [schema] = Object.values(content).map((each) => each.schema);
    body.value = JSON.stringify(example(api, schema), null, 2) ?? "";
    parts.push(make("h3", {}, "Body"), members(api, schema), media, body);
  }
  parts.push(make("h3", {}, "Answers"), make("table", {}, ...Object.entries(operation.responses).map(([status, answer]) => {
    const found = resolved(api, answer);
    const shapes = Object.entries(found.content ?? {}).map(([name, of]) => `${name}: ${word(of.schema)}`);
    return make("tr", {}, make("td", {}, make("code", {}, status)), make("td", {}, found.description),
      make("td", {}, make("code", {}, shapes.join(", "))));
  })));
  const output = make("pre", { hidden: "", "aria-live": "polite" });
  const button = make("button", { type: "button" }, "Try it");
  button.addEventListener("click", () => ask(path, method, inputs, content, media.value, body.value, output));
  parts.push(make("p", {}, button), output);
  return parts;
}

async function ask(path, method, inputs, content, media, body, output) {
  const query = new URLSearchParams();
  const headers = {};
  let url = path;
  for (const [parameter, input] of inputs) {
    if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value === "") continue;
    else if (parameter.in === "query") query.set(parameter.name, input.value);
    else headers[parameter.name] = input.value;
  }
  if (query.size) url += "?" + query;
  const has = Object.keys(content).length > 0;
  if (has) headers["Content-Type"] = media;
  output.hidden = false;
  output.textContent = "…";
  try {
    const answer = await fetch(url, { method: method.toUpperCase(), headers, body: has ? body : undefined });
    let text = await answer.text();
    try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* It is no JSON, and shown as it is. */ }
    const heads = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    output.textContent = `${method.toUpperCase()} ${url}\n${answer.status} ${answer.statusText}\n${heads}\n\n${text}`;
  } catch (error) {
    output.textContent = `${method.toUpperCase()} ${url}\n${error}`;
  }
}

function draw(api) {
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("summary").textContent = api.info.summary ?? "";
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const group = operation.tags?.[0] ?? "server";
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push({ path, method, operation });
    }
  }
  const all = [];
  for (const [group, operations] of groups) {
    const section = make("section", { id: group }, make("h2", {}, group));
    for (const { path, method, operation } of operations) {
      const inside = make("div", {});
      const details = make("details", { class: "operation", id: operation.operationId },
        make("summary", {}, make("span", { class: `method ${method}` }, method), make("span", { class: "path" }, path),
          make("span", { class: "about" }, operation.summary ?? "")), inside);
      details.addEventListener("toggle", () => {
        if (details.open && !inside.hasChildNodes()) inside.append(...described(api, path, method, operation));
      });
      all.push([`${method} ${path} ${operation.operationId} ${operation.summary}`.toLowerCase(), details]);
      section.append(details);
    }
    document.getElementById("operations").append(section);
    document.getElementById("groups").append(make("a", { href: `#${group}` }, group));
  }
  document.getElementById("find").addEventListener("input", (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [text, details] of all) details.hidden = !words.every((each) => text.includes(each));
    for (const section of document.querySelectorAll("main section")) {
      section.hidden = ![...section.querySelectorAll("details.operation")].some((each) => !each.hidden);
    }
  });
  const meant = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (meant) { if ("open" in meant) meant.open = true; meant.scrollIntoView(); }
}

fetch("/api/openapi.json")
  .then((answer) => answer.ok ? answer.json() : Promise.reject(new Error(`the document was answered with ${answer.status}`)))
  .then(draw)
  .catch((error) => document.getElementById("operations").append(make("p", {}, `The API can't be shown: ${error.message}`)));
