-- rights: access "NAME" { users = { "alice" }, may = { "see", "abort" }, where = "project = SALES" }: what users may do with the tasks of
-- others. Owners and admins may always; a grant adds, it never takes away. What fails grants nothing.
local S = require "dss.model.schema"
local id = require "dss.text.id"
local where = require "dss.model.where"

local M = {}

local shape = S.record {
	about = S.text { may_be_empty = true },
	users = S.list { least = 1, required = true, of = S.text { check = function(v)
		if not id.is_login(v) then return nil, ("%q is no login"):format(v) end
		return v
	end } },
	may = S.list { least = 1, required = true, of = S.choice { words = { "see", "abort" } } },
	where = S.filter { live = true },
}

local function set_of(list)
	local out = {}
	for _, v in ipairs(list) do out[v] = true end
	return out
end

function M.words(source, model)
	return {
		access = source:named("access", function(name, t, line)
			local lines, functions, before = source:lines(line), {}, #source.errors
			local a = S.read(shape, t, { source = source, line = line, lines = lines, functions = functions })
			if not source:is_name("access", name, line, model) or #source.errors > before then return end
			a.name, a.source, a.functions = name, source:at(line), functions
			a.users, a.may = set_of(a.users), set_of(a.may)
			a.where = where.compile(source, a.where, "submit")
			if functions.where then where.try(source, functions.where, "submit", lines.where and lines.where.line or line) end
			if #source.errors == before then table.insert(model.access, a) end
		end),
	}
end

return M
