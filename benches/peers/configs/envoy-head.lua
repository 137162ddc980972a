-- What the head must have, in the order of the contract. Rates and the body are judged by Envoy's own
-- filters behind this one.
local PROBLEMS = @PROBLEMS_LUA@
local ROUTES = @ROUTES_LUA@
local TOKENS = @TOKENS_LUA@
local NETWORKS = @NETWORKS_LUA@
local HOSTS = @HOSTS_LUA@
local PARENT = ".@PARENT@"

local function refuse(handle, slug, path)
  -- A connection over which a body is still to come would be closed with the answer.
  handle:body()
  local problem = PROBLEMS[slug]
  handle:respond({ [":status"] = problem.status, ["content-type"] = "application/json" },
    problem.before .. string.format("%q", path) .. "}}")
end

local function is_inside(address)
  local a, b, c, d = string.match(address, "^(%d+)%.(%d+)%.(%d+)%.(%d+):")
  if not a then return false end
  local number = ((a * 256 + b) * 256 + c) * 256 + d
  for _, block in ipairs(NETWORKS) do
    if number >= block[1] and number <= block[2] then return true end
  end
  return false
end

local function is_listed(url)
  local host, rest = string.match(url, "^https?://([^/:@?#]+):?%d*(.*)$")
  if not host or string.sub(rest, 1, 1) == "@" then return false end
  host = string.lower(host)
  return HOSTS[host] or string.sub(host, -#PARENT) == PARENT
end

local function is_acceptable(accept)
  for range in string.gmatch(accept, "[^,]+") do
    local kind = string.lower(string.match(range, "^%s*([^;%s]*)"))
    if kind == "application/json" or kind == "application/*" or kind == "*/*" then return true end
  end
  return false
end

local function is_json(kind)
  local name, rest = string.match(string.lower(kind), "^(application/json)%s*(.*)$")
  return name and (rest == "" or string.find(rest, '^;%s*charset="?utf%-8"?%s*$'))
end

local function is_sound(reference)
  return #reference >= 1 and #reference <= 256 and not string.find(reference, "[^A-Za-z0-9_%-/:.,() ]")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = string.match(headers:get(":path"), "^[^?]*")
  local id = headers:get("x-request-id")
  local reference = headers:get("reference-id")
  local origin = headers:get("origin")
  local facts = handle:streamInfo():dynamicMetadata()
  facts:set("gate", "id", id)
  facts:set("gate", "reference", reference and is_sound(reference) and reference or id)
  headers:replace("transaction-id", id)

  if not (ROUTES[path] and headers:get(":method") == "POST") then return refuse(handle, "endpoint-unknown", path) end
  local token = headers:get("auth-token")
  if not token then return refuse(handle, "token-missing", path) end
  if not TOKENS[token] then return refuse(handle, "token-unknown", path) end
  if not is_inside(handle:streamInfo():downstreamDirectRemoteAddress()) then return refuse(handle, "ip-not-allowed", path) end
  local page = origin or headers:get("referer")
  if page and not is_listed(page) then return refuse(handle, "domain-not-allowed", path) end
  if origin then facts:set("gate", "origin", origin) end
  local accept = headers:get("accept")
  if accept and not is_acceptable(accept) then return refuse(handle, "accept-unsupported", path) end
  local kind = headers:get("content-type")
  if not (kind and is_json(kind)) or headers:get("content-encoding") then
    return refuse(handle, "content-type-unsupported", path)
  end
  local seconds = headers:get("timeout-seconds")
  if seconds then
    if not (string.find(seconds, "^[2-9]$") or string.find(seconds, "^1[0-5]$")) then
      return refuse(handle, "timeout-invalid", path)
    end
    headers:replace("x-envoy-upstream-rq-timeout-ms", seconds .. "000")
  end
  if reference and not is_sound(reference) then return refuse(handle, "reference-id-invalid", path) end
  -- The refusals of the filters behind would close it as well.
  handle:body()
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local facts = handle:streamInfo():dynamicMetadata():get("gate")
  headers:replace("transaction-id", facts["id"])
  headers:replace("reference-id", facts["reference"])
  headers:replace("cache-control", "no-store")
  headers:replace("vary", "Origin")
  if facts["origin"] then
    headers:replace("access-control-allow-origin", facts["origin"])
    headers:replace("access-control-expose-headers", "@EXPOSED@")
  end
end
