# sales_clean -> revenue: sums by month and channel.
set -eu
from=data/sales_clean/sales.csv to=data/revenue/revenue.csv
{
	echo month,channel,amount
	tr -d '\r' <"$from" | awk -F, 'NR > 1 { sum[$10 "," $4] += $9 } END { for (k in sum) printf "%s,%.2f\n", k, sum[k] }' | sort
} >"$to.new"
mv "$to.new" "$to"
echo "$(($(wc -l <"$to") - 1)) rows of revenue"
