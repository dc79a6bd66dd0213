-- page: the web page's files. Where they come from, and what a browser may do with them, is core/gate/pages.c's business.
local health = require "dss.api.health"

local M = {}

--- A browser asks for text/html by name; curl and our own programs take anything.
local function wants_html(req)
	for media in (req.fields.accept or ""):gmatch "[^,]+" do
		if media:lower():match "^%s*([^%s;]+)" == "text/html" and not media:find ";%s*q=0%.?0*%s*$" then return true end
	end
	return false
end

function M.front(req)
	if wants_html(req) then return req.page "index.html" end
	health.front(req)
end

function M.file(req) req.page(table.concat(req.segments, "/")) end

return M
