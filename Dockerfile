# One image for every process of ours: the command says which, and how its health is asked for (docker-compose.yml, deploy/kubernetes).
FROM node:20.20.2-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm install --no-audit --no-fund
COPY . .
RUN npm run build

FROM node:20.20.2-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json ./
# tini reaps what a process leaves behind and passes signals on: Node as process 1 does neither.
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
  && npm install --omit=dev --no-audit --no-fund && npm cache clean --force \
  && install -d -o node -g node /keys /evidence
COPY --from=build /app/dist dist
# By number: Kubernetes cannot see that a name is not root's.
USER 1000:1000
ENTRYPOINT ["tini", "--"]
CMD ["node", "dist/api/main.js"]
