# sales_clean -> revenue: sums by month and channel.
sales <- read.csv("data/sales_clean/sales.csv")
revenue <- aggregate(amount ~ month + channel, data = sales, FUN = sum)
revenue <- revenue[order(revenue$month, revenue$channel), ]
revenue$amount <- sprintf("%.2f", revenue$amount)
write.csv(revenue, "data/revenue/revenue.csv", row.names = FALSE, quote = FALSE)
cat(nrow(revenue), "rows of revenue\n")
