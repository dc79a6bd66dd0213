# Completion for dssctl and an instance's bin/dss. Words come from the programs' own --help, so that they are never out of date.
_dssctl_words() {
	# $1: commands | options; the rest is the command line whose help is asked for
	local what=$1
	shift
	if [ "$what" = commands ]; then
		"$@" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)  *[^ ].*/\1/p'
	else
		"$@" --help 2>/dev/null | sed -n 's/^  \(--[a-z-]*\).*/\1/p; s/^  \(-n\) .*/\1/p; s/^  \(-C\) .*/\1/p'
	fi
}

# Facts of filters, as docs/filters.md has them; a spec holds them against lua/dss/model/facts.lua.
_dssctl_process_facts="age cause cpu id idle kind limit memory node parent peak pid pool project ready rss started state task tasks unix_user user variant"
_dssctl_task_facts="age alive attempt cause ended exclusive id kernel kind limit memory peak pool position priority progress project reason running state submitted tags title type user waiting"
_dssctl_pool_facts="about alive busy demand failed_starts failure heap id idle kind limit limit_max max name retired running source starting stopping waiting warm_max warm_min"
_dssctl_notebook_facts="age busy connected connections cpu id kernel lease leased limit memory name notebook peak pid process project quiet sessions share silent spec started state user worked"

# Names of macros.
_dssctl_macros() {
	"$1" macros 2>/dev/null | sed -n '2,$s/ .*//p'
}

# Paths of notebooks that are open and begin so, without their extension, as the shell reads them.
_dssctl_notebooks() {
	local path begin=${2//\\/}
	"$1" --json notebooks 2>/dev/null | grep -o '"notebook":"[^"\\]*"' | sort -u | while IFS= read -r path; do
		path=${path#'"notebook":"'}
		path=${path%'"'}
		path=${path%.ipynb}
		[[ "$path" == "$begin"* ]] && printf '%q\n' "$path"
	done
}

# Verbs that have verbs of their own.
_dssctl_groups="dss key job project webapps notebooks macro policy"

# The word of a filter under the cursor: a fact, or what joins clauses. $1: the verb, $2: what was typed of the filter.
_dssctl_filter() {
	local facts last=${2##*[ (\"\']} before
	before=${2%"$last"}
	before=${before#[\"\']} # the shell keeps the opening quote itself
	case "$1" in
	tasks | abort) facts=$_dssctl_task_facts ;;
	pools) facts=$_dssctl_pool_facts ;;
	notebooks | unload) facts=$_dssctl_notebook_facts ;;
	*) facts=$_dssctl_process_facts ;;
	esac
	compopt -o nospace 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -P "$before" -W "$facts and or not in during" -- "$last")
}

_dssctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} i verb="" sub="" words=""
	COMPREPLY=()
	case "$prev" in
	-C | --path | --cwd) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--by) mapfile -t COMPREPLY < <(compgen -W "memory cpu user project kind pool recipe webapp type day hour process" -- "$cur"); return ;;
	--kind) mapfile -t COMPREPLY < <(compgen -W "service kernel recipe webapp notebook project" -- "$cur"); return ;;
	--key-file | --classpath | --arg) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	--cgroups) mapfile -t COMPREPLY < <(compgen -W "auto v2 v1 none" -- "$cur"); return ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case "${COMP_WORDS[i]}" in
		-C | --where) i=$((i + 1)) ;;
		--) # the command of `run` and its arguments
			mapfile -t COMPREPLY < <(if [ "$((i + 1))" -eq "$COMP_CWORD" ]; then compgen -c -- "$cur"; else compgen -f -- "$cur"; fi)
			return ;;
		-*) ;;
		*) if [ -z "$verb" ]; then verb=${COMP_WORDS[i]}; elif [ -z "$sub" ]; then sub=${COMP_WORDS[i]}; fi ;;
		esac
	done
	if [ "$prev" = --where ] || { [ "$verb" = ps ] && [[ "$cur" != -* && "$prev" != -* ]]; }; then
		_dssctl_filter "$verb" "$cur"
		return
	fi
	program=${program/#\~/$HOME}
	local run=("$program")
	[ -n "$verb" ] && run+=("$verb")
	[ -n "$sub" ] && [[ " $_dssctl_groups " == *" $verb "* ]] && run+=("$sub")
	if [[ "$cur" == -* ]]; then
		words=$(_dssctl_words options "${run[@]}")
		[ -z "$verb" ] && words="-C --json --help --version"
	elif [ -z "$verb" ] || { [ -z "$sub" ] && [[ " $_dssctl_groups " == *" $verb "* ]]; }; then
		words=$(_dssctl_words commands "${run[@]}")
	elif [ "$verb" = macro ] && { [ "$sub" = run ] || [ "$sub" = show ]; }; then
		words=$(_dssctl_macros "$program")
	elif [ "$verb" = help ]; then
		words=$(_dssctl_words commands "$program")
	elif [ "$verb:$sub" = submit: ]; then
		words="python java command"
	elif [ "$verb" = repl ] && [ "$prev" = -e ]; then
		words="pools() kernels() tasks() processes() alerts() policies() node() help() :delta"
	elif [ "$verb:$sub" = why: ]; then
		words="node kernel task job process recipe webapp notebook pool user project rule recycle slots box place on access sizing budget queue macro"
	elif [ "$verb:$sub" = why:macro ]; then
		words=$(_dssctl_macros "$program")
	elif [ "$verb" = unload ] || [ "$verb:$sub" = keep: ] || [ "$verb:$sub" = why:notebook ] ||
		{ [ "$verb" = notebooks ] && [[ " interrupt unload keep " == *" $sub "* ]]; }; then
		mapfile -t COMPREPLY < <(_dssctl_notebooks "$program" "$cur")
		return
	elif [ "$verb:$sub" = logs: ]; then
		words="keeper logger backend jupyter nginx"
	elif [ "$verb" = restart ] || [ "$verb:$sub" = dss:restart ]; then
		words="keeper logger backend jupyter nginx"
	elif [ "$verb" = reload ] || [ "$verb:$sub" = dss:reload ]; then
		words="nginx"
	elif [ "$verb:$sub" = policy:check ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	elif [ "$verb" = init ] || [ "$verb:$sub" = policy:test ]; then
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _dssctl dssctl dss
