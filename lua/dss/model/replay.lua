-- replay: decisions that were recorded (fleet/ledger.h), made again by the set that is loaded here, from the facts that were read then.
local engine = require "dss.model.engine"
local json = require "bind.json"

local M = {}

-- words whose decisions are a policy's; others are rules of the core's own
local made_by_policies = { pool = true, recycle = true, rule = true, slots = true, box = true, on = true, access = true }

-- A pool's number is told by its reason; whether it was a new one depended on the one before.
local told_by_reason = { pool = true }

local function is_unknown(reason)
	return reason ~= nil and (reason:find "^skipped: .* is unknown$" or reason:find ": %S+ is not known$") ~= nil
end

-- What was carried out in vain, or held back, says so behind the reason; long ones are cut (core/bind/decide.h).
local REASON_MAX = 639

local function is_same_reason(then_, now)
	if then_ == now then return true end
	return then_:sub(1, #now + 2) == now .. "; " or #then_ >= REASON_MAX - 3 and now:sub(1, #then_) == then_
end

local function is_same(d, answer, reason)
	if not is_same_reason(d.reason or "", reason or "") then return false end
	return told_by_reason[d.word] or d.answer == answer
end

local texts = { "word", "name", "source", "outcome", "reason", "threshold", "answer" }

--- A line may have been damaged, or written by another version.
local function is_decision(d)
	if type(d) ~= "table" or type(d.word) ~= "string" then return false end
	for _, key in ipairs(texts) do
		if d[key] ~= nil and type(d[key]) ~= "string" then return false end
	end
	return d.inputs == nil or type(d.inputs) == "table" and (next(d.inputs) == nil or not json.is_array(d.inputs))
end

local function difference(d, answer, reason)
	return json.encode {
		seq = d.seq, at = d.at, word = d.word, name = d.name, source = d.source, subjectKind = d.kind, subject = d.subject, inputs = d.inputs,
		recorded = { answer = d.answer, reason = d.reason }, now = { answer = answer or json.null, reason = reason },
	}
end

--- One line of a segment. is_other: these are not the policies that decided it.
-- "same"; "differs" and the difference as JSON; "undecidable": what these policies ask was not recorded; "gone": they have no such word;
-- "failed": it failed then; "core": no policy decided it.
function M.one(line, is_other)
	local d = json.decode(line)
	if not is_decision(d) then return "undecidable" end
	if not made_by_policies[d.word] or d.source == "core" then return "core" end
	local has_failed = (d.outcome or ""):find "^failed" ~= nil
	if d.inputs == nil then return has_failed and "failed" or "undecidable" end
	local is_asked, answer, reason = pcall(engine.again, { word = d.word, name = d.name, source = d.source, inputs = json.encode(d.inputs),
		threshold = d.threshold, reason = d.reason })
	if not is_asked then return "undecidable" end -- facts of other types than the registry's
	if is_same(d, answer, reason) then return "same" end
	if is_other and answer == nil and d.word ~= "slots" and d.word ~= "box" then return "gone" end
	if is_other and is_unknown(reason) then return "undecidable" end
	if has_failed then return "failed" end
	return "differs", difference(d, answer, reason)
end

return M
