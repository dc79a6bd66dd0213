-- nearest: the word somebody meant, for "did you mean".
local EDITS_MAX = 2
local LENGTH_MAX = 64

--- Optimal string alignment distance: insert, delete, replace, swap neighbours.
local function distance(a, b)
	local row, before = {}, nil
	for j = 0, #b do row[j] = j end
	for i = 1, #a do
		local last = before
		before, row = row, { [0] = i }
		for j = 1, #b do
			local same = a:byte(i) == b:byte(j)
			local d = math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (same and 0 or 1))
			if last and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then d = math.min(d, last[j - 2] + 1) end
			row[j] = d
		end
	end
	return row[#b]
end

--- The nearest of `words` (a list) within two edits, the first of equals; nil: none.
local function nearest(word, words)
	local best, best_distance
	if type(word) ~= "string" or #word > LENGTH_MAX then return nil end
	for _, w in ipairs(words) do
		local d = distance(word, w)
		if d <= EDITS_MAX and d < math.max(#w, #word) and (not best_distance or d < best_distance) then best, best_distance = w, d end
	end
	return best
end

return nearest
