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

_dssctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} i verb="" sub="" words=""
	COMPREPLY=()
	case "$prev" in
	-C | --path | --cwd) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--by) mapfile -t COMPREPLY < <(compgen -W "memory cpu" -- "$cur"); return ;;
	--kind) mapfile -t COMPREPLY < <(compgen -W "service kernel" -- "$cur"); return ;;
	--key-file | --classpath | --arg) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	--cgroups) mapfile -t COMPREPLY < <(compgen -W "auto v2 v1 none" -- "$cur"); return ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		case "${COMP_WORDS[i]}" in
		-C) i=$((i + 1)) ;;
		--) # the command of `run` and its arguments
			mapfile -t COMPREPLY < <(if [ "$((i + 1))" -eq "$COMP_CWORD" ]; then compgen -c -- "$cur"; else compgen -f -- "$cur"; fi)
			return ;;
		-*) ;;
		*) if [ -z "$verb" ]; then verb=${COMP_WORDS[i]}; elif [ -z "$sub" ]; then sub=${COMP_WORDS[i]}; fi ;;
		esac
	done
	program=${program/#\~/$HOME}
	local run=("$program")
	[ -n "$verb" ] && run+=("$verb")
	case "$verb:$sub" in
	dss:?* | key:?*) run+=("$sub") ;;
	esac
	if [[ "$cur" == -* ]]; then
		words=$(_dssctl_words options "${run[@]}")
		[ -z "$verb" ] && words="-C --json --help --version"
	elif [ -z "$verb" ] || [ "$verb:$sub" = dss: ] || [ "$verb:$sub" = key: ]; then
		words=$(_dssctl_words commands "${run[@]}")
	elif [ "$verb" = help ]; then
		words=$(_dssctl_words commands "$program")
	elif [ "$verb:$sub" = submit: ]; then
		words="python java command"
	elif [ "$verb:$sub" = logs: ]; then
		words="keeper logger backend jupyter nginx"
	elif [ "$verb" = restart ] || [ "$verb:$sub" = dss:restart ]; then
		words="keeper logger backend"
	elif [ "$verb" = init ]; then
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _dssctl dssctl dss
