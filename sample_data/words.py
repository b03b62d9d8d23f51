"""The words of the sample: categories with their tags and titles, time zones with their countries."""

from __future__ import annotations

# category: (tags, first halves of titles, second halves)
STORIES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "recipes": (
        ["quick", "vegan", "baking", "soup"],
        ["Lentil stew", "Crème brûlée", "Ramen", "Sourdough", "Shakshuka", "Pumpkin risotto", "Dal"],
        ["in ten minutes", "for a rainy day", "from what is left", "for six", "your aunt would make", 'the "lazy" way'],
    ),
    "travel": (
        ["train", "city", "mountains", "coast"],
        ["Lisbon", "Kyoto", "The night train", "Patagonia", "Zürich", "A week in Oaxaca", "The Hebrides"],
        ["on foot", "without a plan", "in November", "with children", "for under 300", "by the slow road"],
    ),
    "fitness": (
        ["running", "yoga", "strength", "sleep"],
        ["Your first 5 km", "Morning stretches", "Squats", "Better sleep", "The rowing machine", "Balance", "A walk"],
        ["explained", "in four weeks", "at any age", "after a long break", "without a gym", "before breakfast"],
    ),
    "music": (
        ["jazz", "vinyl", "live", "piano"],
        ["Blue notes", "A piano at night", "Records", "The second violin", "Coltrane", "Small stages", "Choirs"],
        ["to start with", "worth a journey", "heard anew", "of the month", "for Sunday", "and where to find them"],
    ),
    "film": (
        ["classic", "documentary", "series", "animation"],
        ["Three westerns", "A documentary", "The long take", "Silent films", "Agnès Varda", "Animation", "The sequel"],
        ["you missed", "worth the evening", "in one sitting", "and why they last", "to argue about", "for bad weather"],
    ),
    "garden": (
        ["balcony", "herbs", "trees", "compost"],
        ["Tulip bulbs", "A herb shelf", "The apple tree", "Compost", "Balcony tomatoes", "Winter hedges", "Moss"],
        ["in late autumn", "step by step", "without tools", "that survive you", "for beginners", "and its enemies"],
    ),
    "tech": (
        ["phones", "privacy", "diy", "games"],
        ["An old laptop", "Passwords", "Your router", "E-ink", "Mechanical keyboards", "The home server", "Backups"],
        ["put to use", "in plain words", "made quiet", "compared", "without the cloud", "and what to buy"],
    ),
    "books": (
        ["novel", "essay", "poetry", "history"],
        ["Five short novels", "An atlas", "Essays", "Poems", "The Silk Road", "A reading list", "Letters"],
        ["for the train", "out this week", "to give away", "you can finish", "translated at last", "from the shelf"],
    ),
}
OFFERS = (
    ["Two for one", "A fifth off", "Free delivery", "Last chance", "Members only", "This weekend", "Early access"],
    ["on cookbooks", "on headphones", "for the garden", "on rail passes", "on yoga mats", "on records", "on e-readers", "on poetry"],
)
NOTICES = {  # title: the state of the users' order that it tells of
    "Your order is on its way": "shipped",
    "Your parcel has arrived": "arrived",
    "Your parcel is waiting for you": "waiting",
    "Your order is being packed": "packed",
    "Your return was received": "returned",
    "Your refund was paid": "refunded",
    "Your card was declined": "declined",
    "Your invoice is ready": "invoiced",
}

# zone: (country, share of users)
ZONES: dict[str, tuple[str, float]] = {
    "Europe/Berlin": ("DE", 0.22),
    "Europe/Vienna": ("AT", 0.06),
    "Europe/London": ("GB", 0.14),
    "America/New_York": ("US", 0.16),
    "America/Chicago": ("US", 0.07),
    "America/Los_Angeles": ("US", 0.09),
    "America/Sao_Paulo": ("BR", 0.05),
    "Asia/Kolkata": ("IN", 0.07),
    "Asia/Kathmandu": ("NP", 0.02),
    "Asia/Tokyo": ("JP", 0.06),
    "Australia/Lord_Howe": ("AU", 0.02),
    "Pacific/Auckland": ("NZ", 0.04),
}
