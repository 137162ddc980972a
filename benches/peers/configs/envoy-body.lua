-- What the body must have, from what Envoy's own JSON filter has found in it.
local PROBLEMS = @PROBLEMS_LUA@

local function refuse(handle, slug)
  local problem = PROBLEMS[slug]
  local path = string.match(handle:headers():get(":path"), "^[^?]*")
  handle:respond({ [":status"] = problem.status, ["content-type"] = "application/json" },
    problem.before .. string.format("%q", path) .. "}}")
end

function envoy_on_request(handle)
  local length = tonumber(handle:headers():get("content-length") or "1")
  if length > @BODY_MAX@ then return refuse(handle, "body-too-large") end
  local body = handle:streamInfo():dynamicMetadata():get("body")
  if length == 0 or not body then return refuse(handle, "body-empty") end
  if body["malformed"] then return refuse(handle, "body-malformed") end
  local number = body["number"]
  if type(number) ~= "string" or number == "" then return refuse(handle, "number-missing") end
  local days = body["days"]
  if days and days ~= "" and not (type(days) == "number" and days >= 0 and days <= @DAYS_MAX@ and days % 1 == 0) then
    return refuse(handle, "cache-days-unsupported")
  end
end
